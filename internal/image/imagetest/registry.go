// SPDX-License-Identifier: Apache-2.0

package imagetest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a real registry. What clients ask goes through Guard.
type Registry struct {
	Host   string // HOST:PORT
	server *httptest.Server
	inner  http.Handler

	mu    sync.Mutex
	guard func(w http.ResponseWriter, r *http.Request) bool

	Requests  atomic.Int64 // of clients
	Blobs     atomic.Int64 // GET of blobs that were let through
	Manifests atomic.Int64 // GET or HEAD of manifests that were let through
}

// NewRegistry listens on a loopback address, with TLS and a certificate of its own or without.
func NewRegistry(t testing.TB, withTLS bool) *Registry {
	t.Helper()
	r := &Registry{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	r.server = httptest.NewUnstartedServer(r)
	if withTLS {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	r.Host = r.server.Listener.Addr().String()
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

// URL is its address with the scheme.
func (r *Registry) URL() string { return r.server.URL }

// Certificate is the server's own, to be trusted, in DER.
func (r *Registry) Certificate() []byte { return r.server.Certificate().Raw }

// Guard lets f answer requests in the registry's place; it returns whether it did. nil
// takes it off.
func (r *Registry) Guard(f func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guard = f
}

func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	guard := r.guard
	r.mu.Unlock()
	r.Requests.Add(1)
	request.Header.Del("Range") // open ranges are beyond the registry; the client skips what it has
	if guard != nil && guard(w, request) {
		return
	}
	read := request.Method == http.MethodGet || request.Method == http.MethodHead
	switch {
	case strings.Contains(request.URL.Path, "/blobs/") && request.Method == http.MethodGet:
		r.Blobs.Add(1)
	case strings.Contains(request.URL.Path, "/manifests/") && read:
		r.Manifests.Add(1)
	}
	r.inner.ServeHTTP(w, request)
}

// reference parses HOST/path, and asks whoever pushes to use what the server speaks.
func (r *Registry) reference(t testing.TB, path string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (r *Registry) options() remote.Option { return remote.WithTransport(direct{r}) }

// direct brings requests to the registry past the guard and the network.
type direct struct{ registry *Registry }

func (d direct) RoundTrip(request *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if request.Body == nil {
		request.Body = http.NoBody
	}
	d.registry.inner.ServeHTTP(w, request)
	resp := w.Result()
	resp.Request = request
	return resp, nil
}

// Push stores an image as path, repository:tag, and returns its full reference.
func (r *Registry) Push(t testing.TB, path string, img v1.Image) string {
	t.Helper()
	ref := r.reference(t, path)
	if err := remote.Write(ref, img, r.options()); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// PushIndex stores an image index.
func (r *Registry) PushIndex(t testing.TB, path string, index v1.ImageIndex) string {
	t.Helper()
	ref := r.reference(t, path)
	if err := remote.WriteIndex(ref, index, r.options()); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// Stall lets the first bytes of every blob through and then nothing, until the request ends.
func (r *Registry) Stall(first int) {
	r.Guard(func(w http.ResponseWriter, request *http.Request) bool {
		if !strings.Contains(request.URL.Path, "/blobs/") {
			return false
		}
		rec := httptest.NewRecorder()
		r.inner.ServeHTTP(rec, request)
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", rec.Header().Get("Content-Length"))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:min(first, len(body))])
		w.(http.Flusher).Flush()
		select {
		case <-request.Context().Done():
		case <-time.After(time.Minute):
		}
		return true
	})
}

// Slow sends every blob in so many pieces with a pause before each.
func (r *Registry) Slow(pieces int, pause time.Duration) {
	r.Guard(func(w http.ResponseWriter, request *http.Request) bool {
		if !strings.Contains(request.URL.Path, "/blobs/") || request.Method != http.MethodGet {
			return false
		}
		rec := httptest.NewRecorder()
		r.inner.ServeHTTP(rec, request)
		body := rec.Body.Bytes()
		w.WriteHeader(rec.Code)
		size := max(len(body)/pieces, 1)
		for len(body) > 0 {
			time.Sleep(pause)
			n := min(size, len(body))
			_, _ = w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
		return true
	})
}
