#!/bin/sh
# Make sure the programs the tests drive are here, each from its Debian package.
set -u
PATH=$PATH:/usr/sbin:/sbin
wanted=""
for program in "$@"; do
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
here=$(dirname "$0")
# shellcheck disable=SC2086  # a list of package names
exec sh "$here/install_packages.sh" $wanted
