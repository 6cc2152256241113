// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	// privateHost is a registry all of whose images need a password.
	privateHost     = "private.test"
	privateUser     = "fish"
	privatePassword = "monger"
)

// mirrored are the registries whose images are served here.
var mirrored = []string{"registry.k8s.io", "k8s.gcr.io", "gcr.io", "registry.test"}

// store is one registry for all tests of the process, filled when first used.
// Each node serves it on an address of its own network.
var store = sync.OnceValues(fillStore)

func fillStore() (http.Handler, error) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(handler)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, image := range images {
		built, err := image.build()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", image.names[0], err)
		}
		for _, path := range image.names {
			ref, err := name.ParseReference(host + "/" + path)
			if err == nil {
				err = remote.Write(ref, built)
			}
			if err != nil {
				return nil, fmt.Errorf("push %s: %w", path, err)
			}
		}
	}
	return handler, nil
}

// serveImages serves the store, and has the daemon find it at the names of
// public registries.
func (n *Node) serveImages(dir string) {
	n.t.Helper()
	handler, err := store()
	if err != nil {
		n.t.Fatal(err)
	}
	open, closed := n.serve(handler), n.serve(guarded(handler))
	for _, host := range mirrored {
		n.mirror(dir, host, open)
	}
	n.mirror(dir, privateHost, closed)
}

// serve returns the address of a server in the node's network.
func (n *Node) serve(handler http.Handler) string {
	n.t.Helper()
	listener, err := n.Place.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	server.SetKeepAlivesEnabled(false) // or every pull would leave sockets behind, on both ends
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	n.t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			n.t.Error(err)
		}
	})
	return listener.Addr().String()
}

// guarded lets in who knows the password.
func guarded(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != privateUser || password != privatePassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// mirror writes hosts.toml of a registry, see containerd's docs/hosts.md.
func (n *Node) mirror(dir, host, address string) {
	n.t.Helper()
	dir = filepath.Join(dir, "certs.d", host)
	text := fmt.Sprintf("server = %q\n", "http://"+address)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o644)); err != nil {
		n.t.Fatal(err)
	}
}

// digestOf returns the digest of the store's image at a path.
func digestOf(t testing.TB, path string) string {
	t.Helper()
	handler, err := store()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Head(ref, remote.WithAuth(authn.Anonymous))
	if err != nil {
		t.Fatal(err)
	}
	return found.Digest.String()
}
