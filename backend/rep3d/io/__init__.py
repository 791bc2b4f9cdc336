"""Volumes in and out."""
