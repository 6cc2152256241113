// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/sardine-run/sardine/test/e2e"
)

const (
	// Busybox is what most containers of the tests run; its name is critest's.
	Busybox = "registry.k8s.io/e2e-test-images/busybox:1.29-2"
	// Nginx is a web server on port 80.
	Nginx = "registry.k8s.io/e2e-test-images/nginx:1.14-2"
	// Payload has the tests' own program, and a volume.
	Payload = "registry.test/payload:1"
	// Server has the servers that probes ask.
	Server = "registry.test/server:1"
	// OwnProbe has a program of its own called sardine-probe.
	OwnProbe = "registry.test/own-probe:1"
	// Private is Busybox behind a password.
	Private = privateHost + "/e2e-test-images/busybox:1.29-2"
	// byDigest is the path of the image that critest knows by its digest only.
	byDigest = "k8s-staging-cri-tools/test-image-digest"
)

// image is one of the store's images, at one or several paths.
type image struct {
	names  []string
	config v1.Config
	layers []layer
}

// layer makes a layer of an image.
type layer func() (v1.Layer, error)

// images are those that critest pulls, with the properties its tests look for
// (pkg/validate and images in its sources), and the tests' own.
var images = append([]image{
	{names: []string{"e2e-test-images/busybox:1.29-2"}, config: shell, layers: onBusybox},
	{names: []string{"e2e-test-images/nginx:1.14-2"}, config: program80("nginx"), layers: with("nginx", 0o755)},
	{names: []string{"e2e-test-images/httpd:2.4.39-4"}, config: program80("httpd"), layers: with("httpd", 0o755)},
	{names: []string{"e2e-test-images/nonewprivs:1.3"}, config: v1.Config{Entrypoint: []string{"/bin/nnp"}}, layers: with("nnp", 0o4755)},
	{names: []string{staging("hostnet-nginx-" + runtime.GOARCH)}, config: v1.Config{Entrypoint: []string{"/bin/nginx", "12003"}}, layers: with("nginx", 0o755)},
	{names: []string{"pause:3.9"}, config: v1.Config{Entrypoint: []string{"/pause"}}, layers: pause("3.9")},
	{names: []string{"pause:3.10.2"}, config: v1.Config{Entrypoint: []string{"/pause"}}, layers: pause("3.10.2")},
	{names: []string{"payload:1"}, config: v1.Config{Entrypoint: []string{"/bin/payload"}, Volumes: map[string]struct{}{"/volume": {}}}, layers: onBusybox},
	{names: []string{"server:1"}, config: shell, layers: with("testserver", 0o755)},
	{names: []string{"own-probe:1"}, config: shell, layers: with("sardine-probe", 0o755)},
}, stagingImages()...)

// shell is the configuration of busybox' image.
var shell = v1.Config{Cmd: []string{"sh"}}

func staging(name string) string { return "k8s-staging-cri-tools/" + name }

func program80(name string) v1.Config {
	return v1.Config{Entrypoint: []string{"/bin/" + name}, ExposedPorts: map[string]struct{}{"80/tcp": {}}}
}

// stagingImages are those that cri-tools builds for critest. Each holds a file
// of its own, where they must differ.
func stagingImages() []image {
	var list []image
	for _, names := range [][]string{
		{"test-image-latest"}, {"test-image-tag:test"}, {"test-image-tag:all"}, {"test-image-digest"},
		{"test-image-1"}, {"test-image-2"}, {"test-image-3"}, {"test-image-tags:1", "test-image-tags:2", "test-image-tags:3"},
	} {
		mark := strings.ReplaceAll(names[0], ":", "-")
		for i := range names {
			names[i] = staging(names[i])
		}
		list = append(list, image{names: names, config: shell, layers: marked(mark)})
	}
	for name, user := range map[string]string{
		"uid": "1002", "username": "www-data", "uid-group": "1003:1004", "username-group": "www-data:1004",
	} {
		list = append(list, image{names: []string{staging("test-image-user-" + name)}, config: as(user), layers: onBusybox})
	}
	return append(list, image{names: []string{staging("test-image-predefined-group")}, config: as("1000"), layers: onBusybox})
}

func as(user string) v1.Config { return v1.Config{Cmd: []string{"sh"}, User: user} }

func (i *image) build() (v1.Image, error) {
	layers := make([]v1.Layer, len(i.layers))
	for at, made := range i.layers {
		var err error
		if layers[at], err = made(); err != nil {
			return nil, err
		}
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = i.config
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return mutate.ConfigFile(img, config)
}

// busyboxFiles are a root file system with busybox and the users that the
// tests name.
var busyboxFiles = sync.OnceValues(func() ([]e2e.File, error) {
	program, applets, err := readBusybox()
	if err != nil {
		return nil, err
	}
	payload, err := readPayload()
	if err != nil {
		return nil, err
	}
	files := []e2e.File{
		e2e.Directory("bin"), e2e.Directory("etc"), e2e.Directory("dev"), e2e.Directory("proc"), e2e.Directory("sys"),
		e2e.Directory("root"), e2e.Directory("run"), e2e.Directory("var"), e2e.Symlink("var/run", "../run"), sticky("tmp"),
		text("etc/passwd", passwd), text("etc/group", group),
		e2e.Regular("bin/busybox", program), e2e.Regular("bin/payload", payload),
	}
	for _, name := range ours {
		files = append(files, hardLink("bin/"+name, "bin/payload"))
	}
	for _, applet := range applets {
		files = append(files, hardLink("bin/"+applet, "bin/busybox"))
	}
	return files, nil
})

const (
	passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
default-user:x:1000:1000:user of the predefined group:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/false
`
	group = `root:x:0:
daemon:x:1:
www-data:x:33:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
nogroup:x:65534:
`
)

// readBusybox returns the static busybox of the machine and its other names.
func readBusybox() (program []byte, applets []string, err error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, nil, err
	}
	program, errRead := os.ReadFile(path)
	names, errList := exec.Command(path, "--list").Output()
	for _, applet := range strings.Fields(string(names)) {
		if applet != "busybox" && !slices.Contains(ours, applet) {
			applets = append(applets, applet)
		}
	}
	program, errWithout := withoutLs(program)
	return program, applets, errors.Join(errRead, errList, errWithout)
}

// ours are the programs of busybox that the payload stands in for: some
// Debian's busybox lacks, and see withoutLs.
var ours = []string{"ls", "pgrep", "ipcs"}

// withoutLs takes ls from what busybox' shell has built in. Debian's runs that
// without looking at the file, and one of critest's specs makes /bin/ls
// unusable and expects the shell to find out. In the sorted table of names
// another one of the same length takes its place.
func withoutLs(program []byte) ([]byte, error) {
	entry, other := []byte("\x00ls\x00"), []byte("\x00lr\x00")
	if n := bytes.Count(program, entry); n != 1 {
		return nil, fmt.Errorf("busybox names ls %d times in its table of applets, not once", n)
	}
	return bytes.Replace(program, entry, other, 1), nil
}

// readPayload returns the test payload, see test/payload.
func readPayload() ([]byte, error) {
	return os.ReadFile(filepath.Join(e2e.BinDir(), "tools", "payload"))
}

// onBusybox is the layer that most images have below, made once.
var onBusybox = []layer{sync.OnceValues(func() (v1.Layer, error) {
	files, err := busyboxFiles()
	if err != nil {
		return nil, err
	}
	return e2e.NewLayer(files...)
})}

// above is a layer of its own on it.
func above(files func() ([]e2e.File, error)) []layer {
	return append(onBusybox[:1:1], alone(files)...)
}

func alone(files func() ([]e2e.File, error)) []layer {
	return []layer{func() (v1.Layer, error) {
		list, err := files()
		if err != nil {
			return nil, err
		}
		return e2e.NewLayer(list...)
	}}
}

// with adds the payload under a name, or another of the tests' programs by its own, with a mode.
func with(name string, mode int64) []layer {
	return above(func() ([]e2e.File, error) {
		content, err := readPayload()
		if name == "testserver" {
			content, err = os.ReadFile(filepath.Join(e2e.BinDir(), "tools", name))
		}
		program := e2e.Regular("bin/"+name, content)
		program.Mode = mode
		return []e2e.File{program}, err
	})
}

// marked adds an empty file.
func marked(name string) []layer {
	return above(func() ([]e2e.File, error) { return []e2e.File{text(name, "")}, nil })
}

// pause is what runtimes with a pause container want.
func pause(version string) []layer {
	return alone(func() ([]e2e.File, error) {
		payload, err := readPayload()
		return []e2e.File{e2e.Regular("pause", payload), text("version", version)}, err
	})
}

func text(path, content string) e2e.File {
	file := e2e.Regular(path, []byte(content))
	file.Mode = 0o644
	return file
}

func sticky(name string) e2e.File {
	dir := e2e.Directory(name)
	dir.Mode = 0o1777
	return dir
}

// hardLink is what other images have for applets: one may be masked without
// the others, which a symbolic link's target cannot.
func hardLink(name, target string) e2e.File {
	return e2e.File{Header: tar.Header{Name: path.Clean(name), Linkname: target, Mode: 0o755, Typeflag: tar.TypeLink}}
}
