"""Stand-ins for the APIs that sources ask: a module for each, with its world in the provider's documented shape.

Each has `sample(folder)`, a `replay.Sample` whose world names `names.PLANTED_NAME` and `PLANTED_MAIL`: the contract
suite finds it by the module's name, which is the source's `type`.
"""
