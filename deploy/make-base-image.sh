#!/bin/bash
# Make a base image from Debian's archive alone, for where Docker Hub is out of reach. Needs root, debootstrap and docker:
#
#   deploy/make-base-image.sh regproxy-base
#   docker build --build-arg BASE_IMAGE=regproxy-base --tag regproxy .
#
# Packages beyond Python follow the name; DEBIAN_MIRROR names another archive.
set -euo pipefail

name=${1:?"usage: $0 NAME [PACKAGE...]"}
packages=(python3 python3-venv ca-certificates "${@:2}")

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # it becomes the root of the image, where everybody has to get in
include=$(IFS=, && echo "${packages[*]}")
debootstrap --variant=minbase --include="$include" bookworm "$folder" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
rm -rf "$folder"/var/cache/apt/*.bin "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
tar --numeric-owner --directory "$folder" --create . | docker import --change 'CMD ["bash"]' - "$name"
