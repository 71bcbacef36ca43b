"""Do the behavioural tests notice every wrong cell of the charts? Each is made wrong in every way, and they are asked.

A mutant of the playback chart has one cell changed, or two internal events that have changed places; one of the
barge-in chart has one cell changed, or what its edge emits. Each is judged first by the paths (:mod:`tests.core.paths`,
:mod:`tests.bargein.paths`), which compare with a model, then by test files, in a process that has imported whatever
does not know the chart. Tests that take what they expect from the golden matrix are no judges: they would notice a
mutant that no user ever could.

What is never judged:

* a cell that is not asked in all paths of the chart as it is;
* in the barge-in chart, an ignored cell that stays or refuses, which is the same to every caller, as nobody is answered
  whether an event was taken; a cell that refuses; one that is impossible, which the executor raises wherever it is
  asked; and an internal event that stays, which would be fired again for ever.

Whether a cell of the barge-in chart that leads to a wrong leaf is led on to the right one in the same step, with the
same events emitted, is computed (:class:`mutants.reasons.Passing`). Such a mutant is judged as well, by a twentieth of
the stops, or by all of them with ``--deep``; it is a problem if one of them notices it.
"""
