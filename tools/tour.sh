#!/bin/sh
# What `make run` shows: a cluster on configs/webapp.yaml, looked at as a pod would. May be run again.
set -eu
kubemu=$1

show() {
    printf '\n$ %s\n' "$1"
    sh -c "$(printf '%s' "$1" | sed "s#^kubemu#$kubemu#")"
}

if "$kubemu" status >/dev/null 2>&1; then
    echo "A cluster runs already; \`make stop\` ends it."
else
    show "kubemu up -d -f configs/webapp.yaml"
fi
if command -v nslookup >/dev/null 2>&1; then
    show "kubemu run -- nslookup webapp"
elif command -v busybox >/dev/null 2>&1; then
    show "kubemu run -- busybox nslookup webapp"
else
    show "kubemu resolve webapp"
fi
if command -v curl >/dev/null 2>&1; then
    show "kubemu run -- curl -s http://webapp:8080/hostname"
fi
show "kubemu run -- env | grep WEBAPP_ | sort"
show "kubemu get services -o wide"
cat <<END

Next:
  $kubemu shell                             a shell in the cluster: nslookup, curl http://webapp:8080/
  $kubemu resolve webapp --explain          why a name resolves, or does not
  export KUBECONFIG=\$($kubemu kubeconfig)   then kubectl: get, describe, edit, apply
  $kubemu apply -f configs/                 more Services to look at
Stop it:
  make stop
END
