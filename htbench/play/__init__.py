"""`htbench play`: a local page on which concepts are typed and pictures change at once."""
