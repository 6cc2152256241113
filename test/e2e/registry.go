// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"log"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is an image registry on loopback, speaking plain HTTP, empty at first.
type Registry struct {
	Host string // "127.0.0.1:PORT"
	t    testing.TB
}

// StartRegistry serves a registry until the test ends.
func StartRegistry(t testing.TB) *Registry {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return &Registry{Host: strings.TrimPrefix(server.URL, "http://"), t: t}
}

// Push stores an image as repository:tag and returns the whole reference.
func (r *Registry) Push(repository string, img v1.Image) string {
	r.t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + repository)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		r.t.Fatalf("push %s: %v", ref, err)
	}
	return ref.String()
}

func goarch() string { return runtime.GOARCH }
