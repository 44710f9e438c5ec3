"""Deploy to AWS from config/aws.yaml, and remove the deployment: `make deploy`, `make destroy`.

``python -m infra.deploy up|down|show [--config FILE] [--images TAG]``. The templates are plain
CloudFormation; outputs of a stack become parameters of the next. Images are built and pushed by
docker if they are missing, unless ``--images`` names a tag that has been pushed. ``down`` keeps the
stack with the bucket and the images, so that a later ``up`` continues with them. Delete this stack
and then the bucket by hand when the forecasts are no longer needed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gigacast.batch.aws_error import translated
from gigacast.errors import GigacastError
from infra.cloud import Cloud
from infra.configuration import ROOT, TEMPLATES, Deployment
from infra.image import build_images, code_tag, image_names


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
    values = dict(deployment.parameters)
    # The storage comes first: the images need its repository, the other stacks need the images.
    outputs = cloud.up("storage", values)
    values |= {"Bucket": outputs["Bucket"], "Repository": outputs["Repository"]}
    values |= make_images(outputs["RepositoryUri"])
    for template in TEMPLATES[1:]:
        _report(f"{deployment.name}-{template}")
        outputs = cloud.up(template, values)
        # The only output of these stacks that a later template takes as a parameter.
        values |= {name: outputs[name] for name in outputs if name in {"SecurityGroup"}}
    return values


def destroy(deployment: Deployment, cloud: Cloud) -> None:
    """Delete every stack except the one with the bucket and the images."""
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
    tag = options.images or code_tag()

    def make_images(repository: str) -> Mapping[str, str]:
        if not options.images:
            build_images(repository, deployment, tag)
        return image_names(repository, tag)

    values = deploy(deployment, cloud, make_images)
    print(  # noqa: T201
        f"deployed {deployment.name} in {deployment.region}\n"
        f"  gigacast submit --bucket {values['Bucket']} --prefix '{deployment.prefix}' "
        f"--region {deployment.region} --stack {deployment.name}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
