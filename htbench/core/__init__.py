"""The ground: errors, content, plug-ins, databases, devices, display; imports nothing above it."""
