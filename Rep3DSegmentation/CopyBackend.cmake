# Copies the package rep3d into the build tree, without the byte code that running it from source leaves behind.
file(COPY "${SOURCE}" DESTINATION "${DESTINATION}" PATTERN "__pycache__" EXCLUDE PATTERN "*.pyc" EXCLUDE)
