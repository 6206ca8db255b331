"""The manifests of scripts/deploy/kubernetes: rendered by kubectl, made ready for the tests (images that are
here), and held against the types of Kubernetes' own API, as the Kubernetes client for Python has them.
"""

import copy
import datetime
import pathlib
import subprocess

import yaml

import images

ROOT = pathlib.Path(__file__).resolve().parents[2] / "scripts/deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (ROOT / "overlays").iterdir())
IMAGES = {"time-chaos": images.AGENT, "app": images.APP}

# Newer than the client that Debian has: restartPolicy of a container (Kubernetes 1.28).
NEWER = {("V1Container", "restartPolicy"): "str"}


def render(kubectl, overlay):
    done = subprocess.run([kubectl, "kustomize", ROOT / "overlays" / overlay], capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"kustomize {overlay}: {done.stderr.strip()}")
    return list(yaml.safe_load_all(done.stdout))


def containers_of(spec):
    return spec.get("initContainers", []) + spec["containers"]


def with_images(documents):
    documents = copy.deepcopy(documents)
    for document in documents:
        if document["kind"] != "ConfigMap":
            for container in containers_of(document["spec"]["template"]["spec"]):
                container["image"] = IMAGES.get(container["image"], container["image"])
    return documents


def split(documents):
    """(the pod that the workload makes, the ConfigMaps)"""
    workloads = [one for one in documents if one["kind"] != "ConfigMap"]
    assert len(workloads) == 1, [one["kind"] for one in documents]
    return copy.deepcopy(workloads[0]["spec"]["template"]["spec"]), [one for one in documents
                                                                     if one["kind"] == "ConfigMap"]


def agent_of(spec):
    return next(one for one in containers_of(spec) if one["name"] == "time-chaos")


def kind_of(document):
    group, _, version = document["apiVersion"].rpartition("/")
    return version.capitalize() + document["kind"]


def type_errors(value, wanted, place):
    """What of a manifest is not of the API's type: unknown fields, wrong types, missing ones."""
    from kubernetes.client import models
    if wanted.startswith("list["):
        if not isinstance(value, list):
            return [f"{place} is no list"]
        return [error for i, one in enumerate(value) for error in type_errors(one, wanted[5:-1], f"{place}[{i}]")]
    if wanted.startswith("dict("):
        inner = wanted[5:-1].split(", ")[1]
        if not isinstance(value, dict):
            return [f"{place} is no map"]
        return [error for key, one in value.items() for error in type_errors(one, inner, f"{place}.{key}")]
    simple = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": datetime.datetime,
              "object": object}
    if wanted in simple:
        right = isinstance(value, simple[wanted]) and not (wanted == "int" and isinstance(value, bool))
        return [] if right else [f"{place} is {value!r}, not {wanted}"]
    model = getattr(models, wanted)
    if not isinstance(value, dict):
        return [f"{place} is no {wanted}"]
    names = {json: attribute for attribute, json in model.attribute_map.items()}
    errors, given = [], {}
    for key, one in value.items():
        newer = NEWER.get((wanted, key))
        if key in names:
            given[names[key]] = one
            errors += type_errors(one, model.openapi_types[names[key]], f"{place}.{key}")
        elif newer:
            errors += type_errors(one, newer, f"{place}.{key}")
        else:
            errors.append(f"{place}.{key} is not known")
    try:
        model(**given)  # says what is missing
    except ValueError as missing:
        errors.append(f"{place}: {missing}")
    return errors
