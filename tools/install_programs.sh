#!/bin/sh
# Make sure the programs the tests drive are here, each from its Debian package.
set -u
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
wanted=""
for program in "$@"; do
    # the oldest kubectl that is tested with, besides the machine's own
    [ "$program" = kubectl ] && sh "$here/fetch_debian_kubectl.sh" "$here/../.venv/programs/kubernetes-client"
    command -v "$program" >/dev/null 2>&1 && continue
    case $program in
        dig | nslookup) package=bind9-dnsutils ;;
        nft) package=nftables ;;
        dnsmasq) package=dnsmasq-base ;;
        kubectl) package=kubernetes-client ;;
        *) package=$program ;;
    esac
    case " $wanted " in *" $package "*) ;; *) wanted="$wanted $package" ;; esac
done
[ -z "$wanted" ] && exit 0
# shellcheck disable=SC2086  # a list of package names
exec sh "$here/install_packages.sh" $wanted
