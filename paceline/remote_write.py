"""The messages of Prometheus remote write 1.0. Sole importer of protobuf and cramjam.

https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import cramjam
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from slo_engine.readings import Family, labels_of

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
SERIES_AT_ONCE = 2_000
"""How many series one request holds."""
_STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The value by which Prometheus knows that a series ended."""
_BYTES, _TEXT = FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_STRING
_DOUBLE, _INT64 = FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_INT64


def _messages() -> Mapping[str, Any]:
    """The classes of the messages.

    A message within another is declared as bytes, which is the same on the wire: the labels of a series are then
    written once, and not again with each value.
    """
    file = FileDescriptorProto(name="paceline/remote_write.proto", package="paceline", syntax="proto3")
    fields = {
        "WriteRequest": (("timeseries", 1, _BYTES, True),),
        "TimeSeries": (("labels", 1, _BYTES, True), ("samples", 2, _BYTES, True)),
        "Label": (("name", 1, _TEXT, False), ("value", 2, _TEXT, False)),
        "Sample": (("value", 1, _DOUBLE, False), ("timestamp", 2, _INT64, False)),
    }
    for message, own in fields.items():
        described: DescriptorProto = file.message_type.add(name=message)
        for name, number, kind, repeated in own:
            label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            described.field.add(name=name, number=number, type=kind, label=label)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"paceline.{name}")) for name in fields}


class Writer:
    """Makes the requests of one destination, push after push. Series that are no more get an end.

    `labels` stand on every series; one that the series has itself wins.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._added = dict(labels)
        self._known: dict[bytes, bytes] = {}
        """The labels of series as they are sent, by how they stand in a line: of those that were sent and not ended."""
        self._made = _messages()

    def requests(self, families: Iterable[Family], at: int) -> Iterator[bytes]:
        """The bodies of the requests that send families at a time in milliseconds.

        Whoever takes all of them has sent everything. Where one is not taken, what ended is told the next time.
        """
        seen: set[bytes] = set()
        yield from self._packed(self._current(families, at, seen))
        gone = [series for series in self._known if series not in seen]
        for start in range(0, len(gone), SERIES_AT_ONCE):
            own, marker = gone[start : start + SERIES_AT_ONCE], self._sample(_STALE, at)
            yield from self._packed(self._known[series] + marker for series in own)
            for series in own:
                del self._known[series]

    def _current(self, families: Iterable[Family], at: int, seen: set[bytes]) -> Iterator[bytes]:
        for family in families:
            for series, value in family.series():
                labels = self._known.get(series)
                if labels is None:
                    labels = self._known[series] = self._labels(family.name, series)
                seen.add(series)
                yield labels + self._sample(value, at)

    def _labels(self, name: str, series: bytes) -> bytes:
        own = {**self._added, **labels_of(series), "__name__": name}
        label = self._made["Label"]
        # An empty label is one that is not there, and is not sent.
        written = [label(name=n, value=v).SerializeToString() for n, v in sorted(own.items()) if v]
        found: bytes = self._made["TimeSeries"](labels=written).SerializeToString()
        return found

    def _sample(self, value: float, at: int) -> bytes:
        """A sample, to be put behind the labels: messages that follow each other are one."""
        sample = self._made["Sample"](value=value, timestamp=at).SerializeToString()
        found: bytes = self._made["TimeSeries"](samples=[sample]).SerializeToString()
        return found

    def _packed(self, series: Iterable[bytes]) -> Iterator[bytes]:
        some = iter(series)
        while batch := list(islice(some, SERIES_AT_ONCE)):
            yield bytes(cramjam.snappy.compress_raw(self._made["WriteRequest"](timeseries=batch).SerializeToString()))
