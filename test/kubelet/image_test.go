// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"math/rand/v2"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sardine-run/sardine/test/e2e"
)

// ballast is what the image that is evicted weighs, in MiB, packed and
// unpacked each.
const ballast = 48

// images are references of what a registry on loopback has for the pods.
type images struct {
	busybox string // a shell, its programs, and the test payload
	pause   string // for daemons that want one: a shell, which reaps orphans
	server  string // as busybox, with servers to be probed
	user    string // as busybox, to be run by user 1000, with a volume and an entry point
	unused  string // big
	missing string // not there
}

func pushImages(t testing.TB) images {
	t.Helper()
	registry := e2e.StartRegistry(t)
	user := v1.Config{User: "user", WorkingDir: "/tmp", Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"exit 9"}}
	return images{
		busybox: registry.Push("test/busybox:1", e2e.Busybox(t)),
		pause: registry.Push("test/pause:1", e2e.Image(t,
			v1.Config{Entrypoint: []string{"/bin/sh", "-c", "sleep 2147483647; exit"}}, e2e.BusyboxLayer(t))),
		server:  registry.Push("test/server:1", e2e.Image(t, v1.Config{}, e2e.BusyboxLayer(t), testserver(t))),
		user:    registry.Push("test/user:1", e2e.Image(t, user, e2e.BusyboxLayer(t))),
		unused:  registry.Push("test/unused:1", e2e.Image(t, v1.Config{}, e2e.BusyboxLayer(t), noise(t))),
		missing: registry.Host + "/test/missing:1",
	}
}

// testserver is a layer with the program of this name.
func testserver(t testing.TB) v1.Layer {
	data, err := os.ReadFile(e2e.Program(t, "testserver"))
	if err != nil {
		t.Fatal(err)
	}
	return e2e.Layer(t, e2e.Regular("bin/testserver", data))
}

// noise is a layer that cannot be compressed.
func noise(t testing.TB) v1.Layer {
	data := make([]byte, ballast<<20)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(data)
	return e2e.Layer(t, e2e.Regular("noise", data))
}
