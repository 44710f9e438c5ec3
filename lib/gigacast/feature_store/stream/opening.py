"""The stream of a group-by's topic."""

from gigacast.errors import ConfigError
from gigacast.feature_store.online.serving import ServedGroupBy
from gigacast.feature_store.stream.decode import topic_name_of, topic_of
from gigacast.feature_store.stream.stream import Stream

_FORMS = "kafka://HOST:PORT or kinesis:"


def open_stream(served: ServedGroupBy, url: str | None = None) -> Stream:
    """Return the stream of a group-by's topic.

    Parameters
    ----------
    served : ServedGroupBy
    url : str, optional
        Place of the topic: ``kafka://HOST:PORT``, ``kinesis:`` or ``kinesis:REGION``. By default
        that in the topic: ``events.returns/host=kafka/port=9092`` or ``.../kinesis=REGION``.

    Raises
    ------
    ConfigError
        If no place is given.
    StorageError, MissingExtraError
    """
    source = next((s for s in served.group_by.sources if s.topic), None)
    if source is None:
        raise ConfigError(
            f"group-by {served.name} has no topic",
            hint="a source with a topic=..., or --local for standard input",
        )
    _, parameters = topic_of(source)
    name = topic_name_of(served.group_by) or ""
    if url is None and "host" in parameters:
        url = f"kafka://{parameters['host']}:{parameters.get('port', '9092')}"
    if url is None and "kinesis" in parameters:
        url = f"kinesis:{parameters['kinesis']}"
    scheme, _, place = (url or "").partition(":")
    if scheme == "kafka" and place.strip("/"):
        from gigacast.feature_store.stream.kafka import KafkaStream  # noqa: PLC0415

        return KafkaStream(name, place.strip("/"))
    if scheme == "kinesis":
        from gigacast.feature_store.stream.kinesis import KinesisStream  # noqa: PLC0415

        return KinesisStream(name, region=place or None)
    raise ConfigError(
        f"group-by {served.name}: the place of its topic {name} is not known",
        hint=f"give --stream_url {_FORMS}, or --local for standard input",
    )
