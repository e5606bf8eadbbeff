"""Name what a user can choose where several layers need the word; imports nothing, as a launch file must be fast."""

#: The source that stands for the built-in scene.
DEMO = "demo"
#: The source that stands for the simulated robot.
SIM = "sim"
#: What can run a model; the first is the default.
BACKENDS = ("auto", "cpu", "npu", "n6")
#: Types of the image topic; the first is the default.
TRANSPORTS = ("raw", "compressed")
