#!/bin/sh
# Unpack Debian's kubectl (package kubernetes-client) into a folder of its own, so that the tests can drive that
# old client too and the machine's own kubectl stays what it is. Usage: fetch_debian_kubectl.sh FOLDER
set -u
folder=$1
[ -x "$folder/usr/bin/kubectl" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    echo "no apt-get here: Debian's kubectl is not tested with" >&2
    exit 0
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
cd "$scratch" || exit 1
if ! apt-get download -qq kubernetes-client >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; elif sudo -n true 2>/dev/null; then sudo -n apt-get update -qq; fi
    apt-get download -qq kubernetes-client 2>/dev/null
fi
for package in kubernetes-client_*.deb; do
    if [ -f "$package" ]; then
        mkdir -p "$folder" && dpkg -x "$package" "$folder" && exit 0
    fi
done
echo "the Debian package kubernetes-client cannot be had; please run: sudo apt-get update" >&2
exit 0
