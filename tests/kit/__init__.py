"""Things that tests share: a toy model, tiny twins, made-up runs, studies and judges."""
