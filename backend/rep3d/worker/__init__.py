"""The child process that runs Rep3D for another program, and the JSON lines the two exchange.

``protocol`` and ``folder`` import the standard library only, so that a program without torch can drive a worker.
"""
