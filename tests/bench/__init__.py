"""The benchmark: Penjaga beside bare Kafka clients and other stream frameworks, in one run.

`make bench` runs everything on a real Apache Kafka, `make bench-quick` the pure-compute part. The
baseline is a matter of ratios measured side by side, because machines differ and have fast and slow
spells.
"""
