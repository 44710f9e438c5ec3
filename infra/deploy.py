"""Deploy to AWS from config/aws.yaml, and remove the deployment: `make deploy`, `make destroy`.

``python -m infra.deploy up|down|show [--config FILE] [--images TAG]``. The templates are plain
CloudFormation; outputs of a stack become parameters of the next. Images are built and pushed by
docker if their content is new, unless ``--images`` names a tag that has been pushed. ``down`` keeps
the stack with the bucket, the images and the table of features, so that a later ``up`` continues
with them. Delete this stack and then the bucket by hand when the forecasts are no longer needed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gigacast.batch.aws_error import translated
from gigacast.errors import GigacastError
from infra.account import check_model, ensure_service_roles, subnet_of_each_zone
from infra.clock import max_age_hours
from infra.cloud import Cloud
from infra.configuration import FLAVOURS, ROOT, TEMPLATES, Deployment
from infra.image import build_images, content_tags, image_names
from infra.pin_images import ensure_pinned

ACTIVATE_TAG = (
    "aws ce update-cost-allocation-tags-status "
    "--cost-allocation-tags-status TagKey=gigacast,Status=Active"
)
"""Without this the budget finds no costs; the tag exists a day after the first machine."""


def deploy(
    deployment: Deployment, cloud: Cloud, make_images: Callable[[str], Mapping[str, str]]
) -> dict[str, str]:
    """Create or update every stack; return the values of all parameters.

    Parameters
    ----------
    deployment : Deployment
        Configuration.
    cloud : Cloud
        Stacks of the deployment.
    make_images : callable
        Function from the URI of the repository to the images, by the templates' parameters.

    Raises
    ------
    GigacastError
    """
    values = {**watched_age(deployment), **deployment.parameters}
    values["EndpointSubnetIds"] = subnet_of_each_zone(deployment)
    ensure_service_roles(deployment)
    # The storage comes first: the images need its repository, the other stacks need the images.
    outputs = cloud.up("storage", values)
    values |= {"Bucket": outputs["Bucket"], "Repository": outputs["Repository"]}
    check_model(deployment, values["Bucket"])
    values |= make_images(outputs["RepositoryUri"])
    for template in TEMPLATES[1:]:
        _report(f"{deployment.name}-{template}")
        outputs = cloud.up(template, values)
        # The only output of these stacks that a later template takes as a parameter.
        values |= {name: outputs[name] for name in outputs if name in {"SecurityGroup"}}
    return values


def watched_age(deployment: Deployment) -> dict[str, str]:
    """Return the parameters of the alarm for late forecasts: none without a schedule."""
    schedules = [clock.schedule for clock in deployment.clocks]
    if deployment.parameters.get("ScheduleState") == "ENABLED":
        schedules.append(deployment.parameters.get("Schedule", "cron(0 4 * * ? *)"))
    hours = max_age_hours(schedules)
    own = deployment.parameters.get("ForecastMaxAgeHours")
    if not schedules or (hours is None and own is None):
        return {"WatchAge": "no"}
    return {"WatchAge": "yes", "ForecastMaxAgeHours": own or str(hours)}


def destroy(deployment: Deployment, cloud: Cloud) -> None:
    """Delete every stack except the one with the bucket, the images and the table."""
    for template in reversed(TEMPLATES[1:]):
        _report(f"{deployment.name}-{template}")
        cloud.down(template)


def _report(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code. Errors are printed in a line, with their hint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=("up", "down", "show"))
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "aws.yaml")
    parser.add_argument("--images", metavar="TAG", help="pushed images to use; none are built")
    options = parser.parse_args(arguments)
    try:
        _main(options)
    except GigacastError as error:
        sys.stderr.write(f"deploy: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return 2
    return 0


def _main(options: argparse.Namespace) -> None:
    import boto3  # noqa: PLC0415 - the wrong use of the command line is reported without it

    deployment = Deployment.read(options.config)
    with translated("CloudFormation", deployment.region):
        client = boto3.client("cloudformation", region_name=deployment.region)
    cloud = Cloud(deployment, client)
    if options.action == "show":
        for template in TEMPLATES:
            print(f"{deployment.name}-{template:<10} {cloud.status(template)}")  # noqa: T201
        return
    if options.action == "down":
        destroy(deployment, cloud)
        return

    def make_images(repository: str) -> Mapping[str, str]:
        if options.images:
            return image_names(repository, dict.fromkeys(FLAVOURS, options.images))
        ensure_pinned()
        tags = content_tags(deployment)
        build_images(repository, deployment, tags)
        return image_names(repository, tags)

    values = deploy(deployment, cloud, make_images)
    print(  # noqa: T201
        f"deployed {deployment.name} in {deployment.region}\n"
        f"  gigacast submit --bucket {values['Bucket']} --prefix '{deployment.prefix}' "
        f"--region {deployment.region} --stack {deployment.name}"
    )
    if deployment.parameters.get("Email"):
        print(f"  the budget needs its tag, once, a day after the first run: {ACTIVATE_TAG}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
