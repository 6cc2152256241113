// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/image/imagetest"
)

// basic asks for a login.
func basic(user, password string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func TestBasicAuth(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	f.Registry.Guard(basic("user", "pass:word"))
	encoded := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	for _, c := range []struct {
		name string
		auth image.Auth
		ok   bool
	}{
		{"none", image.Auth{}, false},
		{"wrong", image.Auth{Username: "user", Password: "x"}, false},
		{"for another server", image.Auth{Username: "user", Password: "pass:word", ServerAddress: "https://other.test/v1/"}, false},
		{"password", image.Auth{Username: "user", Password: "pass:word"}, true},
		{"base64", image.Auth{Auth: encoded}, true},
		{"for this server", image.Auth{Auth: encoded, ServerAddress: f.Registry.Host}, true},
		{"for this URL", image.Auth{Auth: encoded, ServerAddress: f.Registry.URL() + "/v1/"}, true},
		{"none, though the image is there", image.Auth{}, false},
	} {
		_, err := f.Pull(t.Context(), ref, image.PullOptions{Auth: c.auth})
		if c.ok != (err == nil) || err != nil && !errdefs.IsUnauthorized(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass:word") {
			t.Errorf("%s: the error tells the password", c.name)
		}
	}
}

func TestConfiguredAuth(t *testing.T) {
	registry := imagetest.NewRegistry(t, false)
	ref := registry.Push(t, "two:1", twoLayers(t))
	registry.Guard(basic("user", "word"))
	for name, change := range map[string]func(*image.Config){
		"configs": func(c *image.Config) {
			c.Registry.Configs = map[string]image.RegistryConfig{registry.Host: {Auth: &image.AuthConfig{Username: "user", Password: "word"}}}
		},
		"auths": func(c *image.Config) {
			c.Registry.Auths = map[string]image.AuthConfig{"http://" + registry.Host: {Auth: base64.StdEncoding.EncodeToString([]byte("user:word"))}}
		},
	} {
		t.Run(name, func(t *testing.T) { newFixture(t, change).pull(t, ref) })
	}
}

// tokens is a registry that takes bearer tokens, with the server that gives them to whom has
// a login or a refresh token.
func tokens(registry *imagetest.Registry, asked *atomic.Int64) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			asked.Add(1)
			user, password, _ := r.BasicAuth()
			refresh := r.Method == http.MethodPost && r.PostFormValue("grant_type") == "refresh_token" && r.PostFormValue("refresh_token") == "identity"
			if !refresh && (user != "user" || password != "word") {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			_, _ = fmt.Fprint(w, `{"token":"good","access_token":"good"}`)
			return true
		}
		if r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+registry.URL()+`/token",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func TestTokens(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	var asked atomic.Int64
	f.Registry.Guard(tokens(f.Registry, &asked))
	for _, c := range []struct {
		name   string
		auth   image.Auth
		server bool // the token server is asked
		ok     bool
	}{
		{"login", image.Auth{Username: "user", Password: "word"}, true, true},
		{"identity token", image.Auth{IdentityToken: "identity"}, true, true},
		{"wrong identity token", image.Auth{IdentityToken: "x"}, true, false},
		{"registry token", image.Auth{RegistryToken: "good"}, false, true},
		{"registry token for another", image.Auth{RegistryToken: "good", ServerAddress: "other.test"}, true, false},
		{"wrong registry token", image.Auth{RegistryToken: "bad"}, false, false},
	} {
		asked.Store(0)
		_, err := f.Pull(t.Context(), ref, image.PullOptions{Auth: c.auth})
		if c.ok != (err == nil) || err != nil && !errdefs.IsUnauthorized(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.server != (asked.Load() > 0) {
			t.Errorf("%s: the token server was asked %d times", c.name, asked.Load())
		}
	}
}

func hosts(t *testing.T, f *fixture, registry, toml string) {
	t.Helper()
	write(t, filepath.Join(f.config.Registry.ConfigPath, registry, "hosts.toml"), toml)
}

func TestMirror(t *testing.T) {
	f := newFixture(t)
	mirror := imagetest.NewRegistry(t, false)
	mirror.Push(t, "library/two:1", twoLayers(t))
	hosts(t, f, "registry.invalid", fmt.Sprintf(`
server = "http://127.0.0.1:1"
[host."%s"]
  capabilities = ["pull", "resolve"]
[host."%s".header]
  x-test = "yes"
`, mirror.URL(), mirror.URL()))
	var header atomic.Value
	mirror.Guard(func(_ http.ResponseWriter, r *http.Request) bool {
		header.Store(r.Header.Get("X-Test"))
		if token := r.Header.Get("Authorization"); token != "" {
			t.Errorf("a mirror was sent %s", token)
		}
		return false
	})
	id, err := f.Pull(t.Context(), "registry.invalid/library/two:1", image.PullOptions{Auth: image.Auth{RegistryToken: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := f.Resolve(t.Context(), id)
	if err != nil || len(img.Tags) != 1 || img.Tags[0] != "registry.invalid/library/two:1" {
		t.Errorf("%+v, %v", img, err)
	}
	if header.Load() != "yes" {
		t.Errorf("header %v", header.Load())
	}
}

// TestMirrorDown falls back to the registry itself.
func TestMirrorDown(t *testing.T) {
	f := newFixture(t)
	ref := f.Registry.Push(t, "two:1", twoLayers(t))
	dir := strings.Replace(f.Registry.Host, ":", "_", 1) + "_"
	hosts(t, f, dir, fmt.Sprintf("server = %q\n[host.\"http://127.0.0.1:1\"]\n", f.Registry.URL()))
	f.pull(t, ref)
}

func TestOldMirrors(t *testing.T) {
	mirror := imagetest.NewRegistry(t, false)
	mirror.Push(t, "library/two:1", twoLayers(t))
	for _, c := range []struct{ host, endpoint string }{{"registry.invalid", mirror.URL()}, {"*", mirror.Host}} {
		f := newFixture(t, func(cfg *image.Config) {
			cfg.Registry.ConfigPath = ""
			cfg.Registry.Headers = map[string][]string{"X-Test": {"yes"}}
			cfg.Registry.Mirrors = map[string]image.Mirror{c.host: {Endpoints: []string{"127.0.0.1:1", c.endpoint}}}
		})
		mirror.Guard(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Test") != "yes" {
				t.Error("no header")
			}
			return false
		})
		f.pull(t, "registry.invalid/library/two:1")
	}
}

func TestTLS(t *testing.T) {
	f := newFixture(t)
	secure := imagetest.NewRegistry(t, true)
	secure.Push(t, "two:1", twoLayers(t))
	// The certificate is for example.com as well, which a certs.d directory leads to here.
	ca := filepath.Join(t.TempDir(), "ca.crt")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate()})))
	hosts(t, f, "trusted.invalid", fmt.Sprintf("[host.%q]\n ca = %q\n", secure.URL(), ca))
	hosts(t, f, "skipped.invalid", fmt.Sprintf("[host.%q]\n skip_verify = true\n", secure.URL()))
	hosts(t, f, "untrusted.invalid", fmt.Sprintf("server = %q\n", secure.URL()))
	f.pull(t, "trusted.invalid/two:1")
	f.pull(t, "skipped.invalid/two:1")
	_, err := f.Pull(t.Context(), "untrusted.invalid/two:1", image.PullOptions{})
	if !isUnavailable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

func TestMaxConcurrentDownloads(t *testing.T) {
	f := newFixture(t, func(c *image.Config) { c.MaxConcurrentDownloads = 2 })
	var now, most atomic.Int64
	refs := []string{f.Registry.Push(t, "a:1", manyLayers(t, "a", 6)), f.Registry.Push(t, "b:1", manyLayers(t, "b", 6))}
	f.Registry.Guard(observing(&now, &most))
	done := make(chan error, len(refs))
	for _, ref := range refs {
		go func() {
			_, err := f.Pull(t.Context(), ref, image.PullOptions{})
			done <- err
		}()
	}
	for range refs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d downloads at a time, at most 2 are allowed", n)
	}
}
