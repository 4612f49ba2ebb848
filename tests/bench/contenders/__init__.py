"""The contenders: each drains the same topic in a process of its own and accounts for it.

Idiomatic means as the project's own documentation writes it. Every one is a member of a consumer group, as a
worker in production is, and decodes with orjson, as Faust's and Quix Streams' JSON decoders do too.
"""
