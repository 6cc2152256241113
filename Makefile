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

# Their steps can be made to fail, and each be the last one of a daemon.
FAULT_PACKAGES := ./internal/container ./internal/pod

# Tests in networks of their own, of what takes no time limits.
PLUGIN_PACKAGES := ./internal/cniplugin/... ./internal/nft ./internal/masquerade ./internal/iptables ./internal/macspoof

# Each starts daemons and compares the node before and after, so one at a time.
E2E_PACKAGES  := ./test/features/... ./test/e2e/... ./test/cri/... ./test/chaos/... ./test/upgrade/... ./test/deploy/... ./test/network ./test/network/churn
UNIT_PACKAGES  = $(filter-out $(shell go list $(FAULT_PACKAGES) $(PLUGIN_PACKAGES) $(E2E_PACKAGES) ./test/network/... ./test/kubelet/...), $(shell go list ./...))

.PHONY: all
all: bin/sardined bin/sardine bin/sardine-init bin/sardine-probe ## the binaries, in bin/

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

bin/sardine-probe: FORCE | deps-build
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./cmd/sardine-probe

.PHONY: deps deps-build deps-generate deps-test
deps: deps-build deps-generate deps-test ## install missing build and test packages (Debian, as root)
deps-build deps-generate deps-test: deps-%:
	@build/deps $*

.PHONY: generate
generate: | deps-build deps-generate ## rebuild the committed eBPF objects from their C sources
	go generate ./...

.PHONY: tools
tools: bin/tools/.built bin/tools/payload bin/tools/testserver bin/tools/promtool ## containerd, runc, CNI plugins, crictl and critest, to test with and measure beside
bin/tools/.built: bench/tools/go.mod bench/tools/go.sum | deps-build
	@mkdir -p bin/tools
	CGO_ENABLED=1 go build -C bench/tools -trimpath -tags '$(STATIC_TAGS)' -ldflags '$(STATIC_LDFLAGS)' -o $(CURDIR)/bin/tools/ tool
	@# A test binary, which cannot be a tool of the module.
	CGO_ENABLED=0 go test -C bench/tools -c -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/tools/critest sigs.k8s.io/cri-tools/cmd/critest
	@touch $@

bin/tools/promtool:
	@mkdir -p bin/tools
	@build/promtool $@

# Kubernetes' kubelet, to test with: three minutes from nothing.
KUBELET_VERSION = $(shell sed -n 's|^require k8s.io/kubernetes ||p' test/kubelet/tools/go.mod)

.PHONY: kubelet
kubelet: bin/tools/.kubelet ## the kubelet that test-kubelet runs
bin/tools/.kubelet: test/kubelet/tools/go.mod test/kubelet/tools/go.sum | deps-build
	@mkdir -p bin/tools
	CGO_ENABLED=0 go build -C test/kubelet/tools -trimpath -o $(CURDIR)/bin/tools/kubelet \
		-ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(KUBELET_VERSION)' k8s.io/kubernetes/cmd/kubelet
	@touch $@

.PHONY: prebuild
prebuild: kubelet ## compile what make test takes longest to compile
	go build -race ./...
	go build -race -tags faults $(FAULT_PACKAGES)
	CGO_ENABLED=0 go test -C test/policy -trimpath -run '^$$' ./...

# What the tests run inside containers.
bin/tools/payload: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./test/payload

bin/tools/testserver: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./test/payload/testserver

# test-plugins and test-policy mind no company: CI runs them beside the virtual machine.
.PHONY: test test-faults test-plugins test-unit test-e2e test-vm
test: test-faults test-plugins test-policy test-unit test-e2e test-differential test-kubelet ## every test that needs no virtual machine; run it as root
test-faults: all tools | deps-test
	go test -race -timeout 30m -tags faults $(FAULT_PACKAGES)
test-plugins: all tools | deps-test
	go test -race -timeout 30m $(PLUGIN_PACKAGES)
test-unit: all tools | deps-test
	go test -race -timeout 10m $(UNIT_PACKAGES)
test-e2e: all tools | deps-test
	go test -p 1 -timeout 15m $(E2E_PACKAGES)

# All in networks of its own.
.PHONY: test-differential
test-differential: all tools | deps-test ## the plugins inside, compared with the reference plugins, as root
	go test -timeout 30m ./test/network/differential

.PHONY: test-kubelet
test-kubelet: all tools kubelet | deps-test ## a real kubelet runs pods on the daemon, as root
	go test -timeout 20m ./test/kubelet/...

# Needs no cluster and no root. Built as the kubelet is, so that most is there already; and what it reads lies outside of
# its module, where go test would not notice a change.
.PHONY: test-policy
test-policy: ## the API server's own code admits pods by the policies in deploy/
	CGO_ENABLED=0 go test -C test/policy -trimpath -count=1 -timeout 5m ./...

# ROUNDS, each of CHAOS_TIME and a few seconds. A round that fails names its seed: make chaos ROUNDS=1 SEED=...
ROUNDS     ?= 20
CHAOS_TIME ?= 160s
SEED       ?=

.PHONY: chaos
chaos: all tools | deps-test ## an hour of killing the daemon while pods live, as root; ROUNDS=20 CHAOS_TIME=160s
	SARDINE_CHAOS_ROUNDS=$(ROUNDS) SARDINE_CHAOS_TIME=$(CHAOS_TIME) SARDINE_CHAOS_SEED=$(SEED) \
		go test -v -count=1 -timeout 0 -run TestChaos ./test/chaos

test-vm: all tools | deps-test ## the end-to-end tests under systemd and cgroup v2, in a virtual machine
	test/vm/run

.PHONY: lint
lint: $(GOLANGCI) | deps-build ## gofmt, go vet, golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		test -z "$$unformatted" || { echo "gofmt would change:" $$unformatted >&2; exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...

.PHONY: linter
linter: $(GOLANGCI)
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
	install -m 0755 bin/sardined bin/sardine bin/sardine-init bin/sardine-probe $(DESTDIR)$(PREFIX)/bin/
	sed 's|@PREFIX@|$(PREFIX)|g' deploy/sardined.service >$(DESTDIR)$(UNITDIR)/sardined.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/sardined.service

.PHONY: clean
clean: ## remove what make built
	rm -rf bin .cache

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20
