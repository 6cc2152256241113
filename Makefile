# SPDX-License-Identifier: Apache-2.0
#
# make          the binaries, in bin/
# make demo     100 containers, no network and no image needed
# make test     unit tests with the race detector, then end-to-end tests (as root)
# make help     the other targets

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all

VERSION  := $(shell cat VERSION)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system

MODULE     := github.com/sardine-run/sardine
CONTAINERD := github.com/containerd/containerd/v2
# The version that clients of containerd's API compare with: containerd's, with ours behind it.
API_VERSION = $(shell go list -m -f '{{.Version}}' $(CONTAINERD))+sardine.$(VERSION)

# cgo is for libseccomp and the btrfs snapshotter; the result is static all the same.
STATIC_TAGS    := netgo,osusergo,static_build,seccomp
# No WebAssembly runtime for NRI plugins: it would cost every daemon 2.6 MB.
SARDINED_TAGS  := $(STATIC_TAGS),nri_no_wasm
STATIC_LDFLAGS := -s -w -extldflags "-static"
STAMP_LDFLAGS   = -X $(MODULE)/internal/server.Version=$(VERSION) \
	-X $(CONTAINERD)/version.Package=$(MODULE) \
	-X $(CONTAINERD)/version.Version=$(API_VERSION) \
	-X $(CONTAINERD)/version.Revision=$(REVISION)

# sardine-init is copied into memory once per daemon and mapped by every container.
INIT_MAX_BYTES := 3145728

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := bin/tools/golangci-lint-$(GOLANGCI_VERSION)

# Each starts daemons and compares the node before and after, so one at a time.
E2E_PACKAGES  := ./test/features/... ./test/e2e/... ./test/cri/...
UNIT_PACKAGES  = $(shell go list ./... | grep -v -e /test/e2e -e /test/features -e /test/cri -e /test/kubelet)

.PHONY: all
all: bin/sardined bin/sardine bin/sardine-init ## the binaries, in bin/

.PHONY: FORCE
FORCE:

bin/sardined: FORCE | deps-build
	CGO_ENABLED=1 go build -trimpath -tags '$(SARDINED_TAGS)' -ldflags '$(STATIC_LDFLAGS) $(STAMP_LDFLAGS)' -o $@ ./cmd/sardined

bin/sardine: FORCE | deps-build
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(STAMP_LDFLAGS)' -o $@ ./cmd/sardine

bin/sardine-init: FORCE | deps-build
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -E sardine_entry' -o $@ ./cmd/sardine-init
	@size=$$(stat -c %s $@); test $$size -le $(INIT_MAX_BYTES) || \
		{ echo "$@ has $$size bytes, at most $(INIT_MAX_BYTES) allowed" >&2; exit 1; }

.PHONY: deps deps-build deps-generate deps-test
deps: deps-build deps-generate deps-test ## install missing build and test packages (Debian, as root)
deps-build deps-generate deps-test: deps-%:
	@build/deps $*

.PHONY: generate
generate: | deps-build deps-generate ## rebuild the committed eBPF objects from their C sources
	go generate ./...

.PHONY: tools
tools: bin/tools/.built bin/tools/payload ## containerd, runc, CNI plugins, crictl and critest, to test with and measure beside
bin/tools/.built: bench/tools/go.mod bench/tools/go.sum | deps-build
	@mkdir -p bin/tools
	CGO_ENABLED=1 go build -C bench/tools -trimpath -tags '$(STATIC_TAGS)' -ldflags '$(STATIC_LDFLAGS)' -o $(CURDIR)/bin/tools/ tool
	@# A test binary, which cannot be a tool of the module.
	CGO_ENABLED=0 go test -C bench/tools -c -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/tools/critest sigs.k8s.io/cri-tools/cmd/critest
	@touch $@

# Kubernetes' kubelet, to test with: three minutes from nothing.
KUBELET_VERSION = $(shell sed -n 's|^require k8s.io/kubernetes ||p' test/kubelet/tools/go.mod)

.PHONY: kubelet
kubelet: bin/tools/.kubelet ## the kubelet that test-kubelet runs
bin/tools/.kubelet: test/kubelet/tools/go.mod test/kubelet/tools/go.sum | deps-build
	@mkdir -p bin/tools
	CGO_ENABLED=0 go build -C test/kubelet/tools -trimpath -o $(CURDIR)/bin/tools/kubelet \
		-ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(KUBELET_VERSION)' k8s.io/kubernetes/cmd/kubelet
	@touch $@

# What the tests run inside containers.
bin/tools/payload: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./test/payload

.PHONY: test test-unit test-e2e test-vm
test: test-unit test-e2e test-kubelet ## every test that needs no virtual machine; run it as root
test-unit: all | deps-test
	go test -race -timeout 10m $(UNIT_PACKAGES)
	@# Every step made to fail, and every step the last one of a daemon.
	go test -race -timeout 10m -tags faults ./internal/container ./internal/pod
test-e2e: all tools | deps-test
	go test -p 1 -timeout 15m $(E2E_PACKAGES)

.PHONY: test-kubelet
test-kubelet: all tools kubelet | deps-test ## a real kubelet runs pods on the daemon, as root
	go test -timeout 20m ./test/kubelet/...

test-vm: all tools | deps-test ## the end-to-end tests under systemd and cgroup v2, in a virtual machine
	test/vm/run

.PHONY: lint
lint: $(GOLANGCI) | deps-build ## gofmt, go vet, golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		test -z "$$unformatted" || { echo "gofmt would change:" $$unformatted >&2; exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...

$(GOLANGCI):
	@mkdir -p bin/tools
	CGO_ENABLED=0 GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv bin/tools/golangci-lint $@

.PHONY: bench
bench: all tools | deps-test ## measure sardined beside containerd and runc; writes bench/RESULTS.md
	bench/run

.PHONY: demo
demo: all ## start 100 containers in a private daemon, as root
	bin/sardine demo

.PHONY: install
install: all ## install to PREFIX (/usr/local), under DESTDIR, with the systemd unit
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(UNITDIR)
	install -m 0755 bin/sardined bin/sardine bin/sardine-init $(DESTDIR)$(PREFIX)/bin/
	sed 's|@PREFIX@|$(PREFIX)|g' deploy/sardined.service >$(DESTDIR)$(UNITDIR)/sardined.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/sardined.service

.PHONY: clean
clean: ## remove what make built
	rm -rf bin .cache

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20
