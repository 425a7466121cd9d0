"""What a partition decides. A close goes through these modules in one direction, from `close` down.

1. `agents.standing.job` has read close(D), and every lane of its cut has reached its mark: `close.Decider.close`.
2. `continuous` decides the customers whom events have touched since the last look, as of the day that ends now.
3. The ledger says which snapshots don't fit, which closed months have changed and who had an event; its clock moves to D.
4. `restatement` looks again at the closes of changed months, and corrects tiers where the pack says so.
5. Packs that take effect on the day after D (`packs`) give everything below new rules, and `lifecycle.changeover` decides
   in place of 7.
6. Everybody is evaluated, or only touched customers and those for whom something ends: in chunks, metrics first.
7. `lifecycle` decides the tiers of a chunk: most customers as columns, each with a State of his own by policies.lifecycle.
8. `layers` does the same by the layer scheme, where there is one.
9. The standings of the chunk go to `agents.standing.publish`, with the flags of `lifecycle.flags`; tiers and layers have
   gone there in 4, 5, 7 and 8.
10. `outlooks` looks ahead for every customer of a pack that can be foreseen; `outlook_alerts` raises alerts from that.
11. The ledger folds what has left its horizon, and `continuous` decides touched customers as of the day that begins.

The rows of all that has changed are taken by the job afterwards, and go out in the same transaction.
"""
