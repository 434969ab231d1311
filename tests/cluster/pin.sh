#!/bin/sh
# Writes go.mod for a Kubernetes release: k8s.io/kubernetes replaces its staging modules by folders of its own
# tree, which do not exist for a module that imports it, so each is pinned to the release tagged with it.
# usage: ./pin.sh v1.36.3
set -eu
cd "$(dirname "$0")"
release=${1:?usage: pin.sh RELEASE}
staging="v0.${release#v1.}"
mod=$(go mod download -json "k8s.io/kubernetes@$release" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
version_of() { awk -v m="$1" '$1 == m { print $2; exit }' "$mod"; }
{
    echo "module pipeops/tests/cluster"
    echo
    awk '$1 == "go" { print; exit }' "$mod"
    echo
    awk '$1 == "godebug" { print; print ""; exit }' "$mod"
    echo "require ("
    echo "	github.com/spf13/cobra $(version_of github.com/spf13/cobra)"
    echo "	go.etcd.io/etcd/server/v3 $(version_of go.etcd.io/etcd/server/v3)"
    for name in component-base kubectl; do echo "	k8s.io/$name $staging"; done
    echo "	k8s.io/kubernetes $release"
    echo ")"
    echo
    echo "replace ("
    awk -v s="$staging" '$2 == "=>" && $3 ~ /^\.\/staging/ { print "\t" $1 " => " $1 " " s }' "$mod"
    echo ")"
} >go.mod
rm -f go.sum
go mod tidy
