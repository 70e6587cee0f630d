"""What attention heads do: how important each one is, which function it has, and how it looks.

An analysis is one file in `measured/` and one entry in `survey.ANALYSES`; `plug` says what the
file holds.

Letters that analyses add to the glossary in `headprune/__init__.py`, or use for something else:

  X positions of one side    U units (words, or words that share a piece)
  R functions of one kind, such as relative positions
  Z gate settings that are tried     P scores that are compared
  E sentences (examples)             Y resamples of them
and in `lrp`:
  G generation steps, each of which relevance is propagated from; as many as T
  I inputs of an operation   O its outputs    L cuts through the model
  J channels of a head once more, E model channels once more: the second axis of an outer product
"""
