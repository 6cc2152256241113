// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is a file of an image layer. Its type is regular unless said otherwise;
// missing parent directories are made.
type File struct {
	tar.Header
	Data []byte
}

// Regular is a regular file of mode 0755, so that it may be a program.
func Regular(path string, data []byte) File {
	return File{Header: tar.Header{Name: path, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(data))}, Data: data}
}

// Symlink is a symbolic link.
func Symlink(path, target string) File {
	return File{Header: tar.Header{Name: path, Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}}
}

// Directory is a directory of mode 0755.
func Directory(path string) File {
	return File{Header: tar.Header{Name: strings.TrimSuffix(path, "/") + "/", Mode: 0o755, Typeflag: tar.TypeDir}}
}

// Layer returns a layer with the files, in their order.
func Layer(t testing.TB, files ...File) v1.Layer {
	t.Helper()
	layer, err := NewLayer(files...)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// NewLayer is Layer where there is no test.
func NewLayer(files ...File) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := range files {
		if _, err := files[i].write(w); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", files[i].Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	})
}

func (f *File) write(w *tar.Writer) (int, error) {
	if err := w.WriteHeader(&f.Header); err != nil {
		return 0, err
	}
	return w.Write(f.Data)
}

// Image returns an image of the layers for this machine, with /bin in PATH.
func Image(t testing.TB, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", goarch()
	config.Env = append([]string{"PATH=/bin"}, config.Env...)
	file.Config = config
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// busyboxFiles is read once: a layer of it is made in most tests.
var busyboxFiles = sync.OnceValues(readBusybox)

func readBusybox() ([]File, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	program, errRead := os.ReadFile(path)
	applets, errList := exec.Command(path, "--list").Output()
	if err := errors.Join(errRead, errList); err != nil {
		return nil, err
	}
	files := []File{Directory("bin"), Directory("etc"), Directory("tmp"), Directory("proc"), Directory("sys"), Directory("dev"),
		Regular("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")),
		Regular("etc/group", []byte("root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")),
		Regular("bin/busybox", program)}
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			files = append(files, Symlink("bin/"+applet, "busybox"))
		}
	}
	return files, nil
}

// BusyboxLayer is a layer with a static busybox, a link for each of its
// applets, and /etc/passwd with root and user (1000, in group extra, 2000).
func BusyboxLayer(t testing.TB) v1.Layer {
	t.Helper()
	busybox(t)
	files, err := busyboxFiles()
	if err != nil {
		t.Fatal(err)
	}
	return Layer(t, files...)
}

// Busybox is the image most tests run: busybox, and the test payload as
// /bin/payload.
func Busybox(t testing.TB) v1.Image {
	t.Helper()
	return Image(t, v1.Config{Cmd: []string{"/bin/sh"}}, BusyboxLayer(t), Layer(t, Regular("bin/payload", payload(t))))
}

func payload(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(Program(t, "payload"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// BusyboxRef is the name Import gives the image of Busybox by default.
const BusyboxRef = "localhost/e2e/busybox:1"

// Import brings an image into the daemon, unpacked, under a name.
func (d *Daemon) Import(ref string, img v1.Image) {
	d.t.Helper()
	path := d.Dir + "/import.tar"
	tag, err := name.NewTag(ref)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		d.t.Fatal(err)
	}
	defer os.Remove(path)
	d.MustCtr("images", "import", path)
}

// ImportBusybox imports the image of Busybox and returns its name.
func (d *Daemon) ImportBusybox() string {
	d.t.Helper()
	d.Import(BusyboxRef, Busybox(d.t))
	return BusyboxRef
}
