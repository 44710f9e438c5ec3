"""The keys of a bucket. Only this module and `feature_layout` spell or join keys.

Keys are relative to the output root (inputs: to the input root).
"""

import re
from typing import NamedTuple

from gigacast.core.digest import digest_text

FORECASTS = "forecasts/"
ORIGINS = "origins/"
DIGESTS = "digests/"
BACKTESTS = "backtests/"
LEADERBOARDS = "backtests/_leaderboards/"
EVALUATIONS = "evaluations/"
QUALITY = "quality/"
QUALITY_REPORTS = "quality/_reports/"
CLEANING = "cleaning/"
BUCKETING = "bucketing/"
TIMINGS = "timings/"
AUDIT = "audit/"
PLANS = "plans/"
MODELS = "models/"
FEATURE_STORE = "feature_store/"
REPORTS = "reports/"
ANOMALIES = "anomalies/"
RECONCILED = "reconciled/"
CALIBRATIONS = "calibrations/"
MODEL_MANIFEST = "manifest.json"
MODEL_CLAIM = "PUBLISHING"
ACTIVE = "ACTIVE"
LAYERS = ("raw", "cleaned", "features")
DATASET_MANIFEST = "manifest.json"
DATASET_METADATA = "metadata.json"
DATASET_CLAIM = "PUBLISHING"
DATASET_DEPRECATED = "DEPRECATED"
DATASET_RETIRED = "RETIRED"
DATASET_NOTES = frozenset(
    {
        DATASET_MANIFEST,
        DATASET_METADATA,
        DATASET_CLAIM,
        DATASET_DEPRECATED,
        DATASET_RETIRED,
    }
)
"""Names of the objects in the folder of a version that are no data files."""
RESERVED = frozenset(
    {
        FORECASTS,
        ORIGINS,
        DIGESTS,
        BACKTESTS,
        EVALUATIONS,
        QUALITY,
        CLEANING,
        BUCKETING,
        TIMINGS,
        AUDIT,
        PLANS,
        MODELS,
        FEATURE_STORE,
        REPORTS,
        ANOMALIES,
        RECONCILED,
        CALIBRATIONS,
        *(f"{layer}/" for layer in LAYERS),
    }
)
"""Folders that this program writes; they are never taken for input."""

RECEIPT_END = len(".0123456789abcdef.0123456789abcdef.json")
"""Characters after the output key in the key of a receipt."""
RECEIPT_INPUT = (1 - RECEIPT_END, 17 - RECEIPT_END)
"""Place of the input's id, from the end."""
RECEIPT_ENDING = re.compile(r"\.[0-9a-f]{16}\.[0-9a-f]{16}\.json$")
"""Expression for them."""
_ORIGIN = re.compile(
    r"origins/(?P<rest>[^/]+/[^/]+/[^/]+/.+)/(?P<cutoff>[^/]+)\.(?P<etag>[0-9a-f]{16})\.parquet"
)
_PREDICTION = re.compile(
    r"forecasts/(?P<model>[^/]+)/(?P<version>[^/]+)/(?P<spec>[^/]+)/(?P<rest>.+)"
)


class ReceiptKey(NamedTuple):
    """The parts of a receipt's key. Planning needs only these, so it reads no receipt."""

    output_key: str
    input_id: str
    output_id: str


class OriginKey(NamedTuple):
    """The parts of the key of a kept forecast.

    ``cutoff`` is the newest cutoff of its rows as `core.time` spells it, ``output_id`` the digest
    of the ETag that the forecast had at ``output_key`` before it was replaced.
    """

    output_key: str
    cutoff: str
    output_id: str


class PredictionKey(NamedTuple):
    """The parts of a forecast's key; ``rest`` is the input key with the output's ending."""

    model: str
    version: str
    spec: str
    rest: str


def version_prefix(model: str, version: str, root: str = FORECASTS) -> str:
    """Return the folder of a model version's specs, below the root of forecasts or backtests."""
    return f"{root}{model}/{version}/"


def spec_prefix(model: str, version: str, spec: str, root: str = FORECASTS) -> str:
    """Return the folder of the outputs of one spec."""
    return f"{version_prefix(model, version, root)}{spec}/"


def output_name(input_key: str) -> str:
    """Return the key of an output below its spec; other endings than ``.parquet`` are kept."""
    return input_key if input_key.endswith(".parquet") else f"{input_key}.parquet"


def month_output_name(folder: str) -> str:
    """Return the key of an output below its spec when a whole month is one partition."""
    return f"{folder}/month.parquet"


def parse_prediction_key(key: str) -> PredictionKey | None:
    """Return the parts of a forecast's key; ``None`` for other keys."""
    # Names that begin with "_" are manifests, not forecasts.
    match = _PREDICTION.fullmatch(key)
    if match is None or match["rest"].startswith("_"):
        return None
    return PredictionKey(**match.groupdict())


def origins_prefix(output_key_or_prefix: str) -> str:
    """Return the folder of the earlier forecasts of a partition, or of all below a prefix.

    It is a root of its own: a plan, which lists outputs, never lists history.
    """
    below = output_key_or_prefix.removeprefix(FORECASTS)
    return f"{ORIGINS}{below}" if below.endswith("/") else f"{ORIGINS}{below}/"


def digests_key(output_key_or_prefix: str) -> str:
    """Return the key of the digests of a forecast's series, or the folder of all below a prefix.

    A root of its own, as that of origins.
    """
    return f"{DIGESTS}{output_key_or_prefix.removeprefix(FORECASTS)}"


def origin_key(output_key: str, cutoff: str, output_etag: str) -> str:
    """Return the key of the copy of a forecast that is about to be replaced."""
    return f"{origins_prefix(output_key)}{cutoff}.{output_id(output_etag)}.parquet"


def parse_origin_key(key: str) -> OriginKey | None:
    """Return the parts of the key of a kept forecast; ``None`` for other keys."""
    match = _ORIGIN.fullmatch(key)
    if match is None or match["rest"].split("/")[3].startswith("_"):
        return None
    return OriginKey(f"{FORECASTS}{match['rest']}", match["cutoff"], match["etag"])


def kept_manifest_key(manifest: str, run_id: str) -> str:
    """Return the key of a manifest as a run left it; without a run, their folder."""
    folder = f"{origins_prefix(manifest.removesuffix('_manifest.parquet'))}_manifests/"
    return f"{folder}{run_id}.parquet" if run_id else folder


def manifest_key(model: str, version: str, spec: str) -> str:
    """Return the key of a spec's manifest."""
    return f"{spec_prefix(model, version, spec)}_manifest.parquet"


def outdated_key(model: str, version: str, spec: str) -> str:
    """Return the key of the note that a spec's manifest lacks the forecasts of a later run."""
    return f"{spec_prefix(model, version, spec)}_manifest.OUTDATED"


def leaderboard_key(name: str, ending: str) -> str:
    """Return the key of a leaderboard in one of its forms: ``md``, ``json``, ``parquet``."""
    return f"{LEADERBOARDS}{name}.{ending}"


def calibration_key(model: str, version: str, name: str) -> str:
    """Return the key of what a backtest measured for the calibration of a model's forecasts."""
    return f"{CALIBRATIONS}{model}/{version}/{name}.json"


def evaluation_key(name: str, ending: str) -> str:
    """Return the key of an evaluation in one of its forms: ``md``, ``json``, ``parquet``."""
    return f"{EVALUATIONS}{name}.{ending}"


def scores_prefix(output_key_or_prefix: str) -> str:
    """Return the folder of the scores of a forecast, or of all forecasts below a prefix."""
    below = output_key_or_prefix.removeprefix(FORECASTS)
    return f"{EVALUATIONS}{below}" if below.endswith("/") else f"{EVALUATIONS}{below}/"


def report_key(name: str, ending: str = "html") -> str:
    """Return the key of a page, or of another object beside the pages."""
    return f"{REPORTS}{name}.{ending}"


def anomalies_key(output_key_or_prefix: str, origin: str) -> str:
    """Return the key of the anomalies found by a forecast, or the folder of those below a prefix.

    Those of other origins than the latest have folders of their own: each is a dataset.
    """
    below = output_key_or_prefix.removeprefix(FORECASTS)
    return f"{ANOMALIES}{below}" if origin == "latest" else f"{ANOMALIES}_origins/{origin}/{below}"


def anomaly_report_key(name: str, ending: str) -> str:
    """Return the key of a report of anomalies: ``md``, ``json``, ``parquet``."""
    return f"{ANOMALIES}_reports/{name}.{ending}"


def quality_prefix(source: str, spec: str) -> str:
    """Return the folder of the measures of a source's partitions, taken by one spec."""
    return f"{QUALITY}{source}/{spec}/"


def quality_key(source: str, spec: str, partition: str) -> str:
    """Return the key of the measures of one partition."""
    return f"{quality_prefix(source, spec)}{partition}.json"


def quality_report_key(name: str, ending: str) -> str:
    """Return the key of a quality report in one of its forms: ``md``, ``json``, ``parquet``."""
    return f"{QUALITY_REPORTS}{name}.{ending}"


def cleaning_prefix(dataset: str, spec: str | None = None) -> str:
    """Return the folder of a dataset's cleaned files, cleaned by a spec; by any without one."""
    return f"{CLEANING}{dataset}/{spec}/" if spec is not None else f"{CLEANING}{dataset}/"


def cleaned_key(dataset: str, spec: str, input_id: str, path: str) -> str:
    """Return the key of a cleaned file. It names the input, so that no file is ever replaced."""
    return f"{cleaning_prefix(dataset, spec)}{input_id}/{path}"


def bucketing_prefix(into: str, spec: str) -> str:
    """Return the folder of the lists of what became of each object that was divided."""
    return f"{BUCKETING}{into}/{spec}/"


def bucketing_mark(into: str) -> str:
    """Return the key of the settings that a folder was divided by."""
    return f"{BUCKETING}{into}/SETTINGS.json"


def bucket_key(into: str, input_key: str, bucket: int) -> str:
    """Return the key of an object's rows of a bucket: ``INTO/2024/03/bucket=07/part-0.parquet``."""
    folder, _, name = input_key.rpartition("/")
    return f"{into}/{folder}/bucket={bucket:02d}/{name}"


def receipt_prefix(output_key_or_prefix: str) -> str:
    """Return the prefix of the receipts of an output, or of all outputs under a prefix."""
    return f"{TIMINGS}{output_key_or_prefix}"


def output_id(etag: str) -> str:
    """Return the digest of an output's ETag for a receipt's key: ETags may hold any character."""
    return digest_text(etag)


def receipt_key(output_key: str, input_id: str, output_etag: str) -> str:
    """Return the key of the receipt that proves one output of one input."""
    return f"{TIMINGS}{output_key}.{input_id}.{output_id(output_etag)}.json"


def longest_output(segment_bytes: int) -> int:
    """Return the bytes that the last part of an output key may have, so that its receipt fits.

    Parameters
    ----------
    segment_bytes : int
        Bytes that the last part of a key may have in the store.
    """
    return segment_bytes - len(receipt_key("", "0" * 16, "").removeprefix(TIMINGS))


def parse_receipt_key(key: str) -> ReceiptKey | None:
    """Return the parts of a receipt's key; ``None`` for other keys."""
    # Cut from its end: a plan parses millions, and an expression would try every place.
    output, end = key[len(TIMINGS) : -RECEIPT_END], key[-RECEIPT_END:]
    is_receipt = (
        key.startswith(TIMINGS)
        and key.endswith(".json")
        and output
        and end[0] == end[17] == "."
        and not (end[1:17] + end[18:34]).strip("0123456789abcdef")
        and "\n" not in output
    )
    return ReceiptKey(output, end[1:17], end[18:34]) if is_receipt else None


def processed_name(status: str, input_key: str) -> str:
    """Return what the receipts of `ParquetDataLoader` name instead of an output key."""
    return f"processed/{status}/{input_key}"


def audit_key(run_id: str, child: str | None = None) -> str:
    """Return the key of the audit of a run, or of one child of an array run."""
    return f"{AUDIT}{run_id}.json" if child is None else f"{AUDIT}{run_id}/{child}.json"


def child_outputs_key(run_id: str, child: int) -> str:
    """Return the key of the list of outputs of one child of an array run."""
    return f"{AUDIT}{run_id}/{child}.parquet"


def help_key(run_id: str, child: int, part: int) -> str:
    """Return the key of the claim on a part of a child's tasks, by a child that helps."""
    return f"{help_prefix(run_id, child)}{part}"


def help_prefix(run_id: str, child: int) -> str:
    """Return what the keys of the claims on a child's tasks start with."""
    # A folder that sorts after the children's numbers: a large array has thirty claims for each
    # summary, and a listing of summaries must not read them all.
    return f"{audit_prefix(run_id)}help/{child}-"


def audit_prefix(run_id: str) -> str:
    """Return the folder of what the children of an array run have written."""
    return f"{AUDIT}{run_id}/"


def plan_key(run_id: str, child: int | None = None) -> str:
    """Return the key of an array run's plan, or of the tasks of one child."""
    return f"{PLANS}{run_id}.json" if child is None else f"{PLANS}{run_id}/{child}.json"


def lease_key() -> str:
    """Return the key of the lease for submitting runs."""
    return f"{PLANS}LEASE"


def turns_prefix() -> str:
    """Return the folder of the notes of turns that wait for the end of a run."""
    return f"{PLANS}WAITING/"


def turn_key(turn: str) -> str:
    """Return the key of the note of a turn, whose event is known by its digest."""
    return f"{turns_prefix()}{turn}.json"


def model_prefix(model: str, version: str) -> str:
    """Return the folder of one model version."""
    return f"{MODELS}{model}/{version}/"


def models_prefix(model: str) -> str:
    """Return the folder of all versions of one model."""
    return f"{MODELS}{model}/"


def model_file_key(model: str, version: str, name: str) -> str:
    """Return the key of one file of a model version."""
    return f"{model_prefix(model, version)}{name}"


def model_manifest_key(model: str, version: str) -> str:
    """Return the key of a model version's manifest: the version exists when its manifest does."""
    return model_file_key(model, version, MODEL_MANIFEST)


def model_claim_key(model: str, version: str) -> str:
    """Return the key of the claim on a model version that is being published or deleted."""
    return model_file_key(model, version, MODEL_CLAIM)


def active_key(model: str) -> str:
    """Return the key of the object that names a model's active version."""
    return f"{MODELS}{model}/{ACTIVE}"


def dataset_prefix(layer: str, name: str, version: str) -> str:
    """Return the folder of a dataset: raw snapshots by name, the other layers by version first."""
    return f"raw/{name}/{version}/" if layer == "raw" else f"{layer}/{version}/{name}/"
