"""The core: the queue, the transitions of the chart, input and output. Only the controller uses it."""
