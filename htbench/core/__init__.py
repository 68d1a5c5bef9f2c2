"""The ground: errors, content, plug-ins, databases, devices, display; needs nothing above it."""
