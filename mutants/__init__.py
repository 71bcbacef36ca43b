"""Do the behavioural tests notice every wrong cell of the chart? Each is made wrong in every way, and they are asked.

A mutant is the chart with one cell changed, or with two internal events that have changed places. Each is judged in
a process of its own, forked from one that has imported whatever does not know the chart: first by the paths
(:mod:`tests.core.paths`), then by test files. Tests that take what they expect from the golden matrix are no judges:
they would notice a mutant that no user ever could.

What is never judged: a cell that the controller does not ask in all paths of the chart as it is.
"""
