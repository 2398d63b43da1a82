"""Makes a configuration of one's own: looks at repositories and forges, proposes rules with what they match, writes.

`repositories` and `forges` look, `proposals` says what could deploy, `sources` makes settings of what was chosen,
`starters` suggests the targets of the first SLOs, and `files` writes all of it or nothing. They ask nobody: the command
`paceline/commands/init.py` does.
"""
