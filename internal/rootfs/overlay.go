// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// overlay makes a detached overlay mount.
func overlay(m Mount) (int, error) {
	tree, err := overlayByLayer(m)
	if errors.Is(err, errNotByLayer) {
		return inNamespace(func() (int, error) { return overlayByMount(m) })
	}
	return tree, err
}

// errNotByLayer is returned before anything was done on kernels before 6.7 and for
// paths that fsconfig(2) does not take.
var errNotByLayer = errors.New("overlay cannot be given its layers one by one")

// maxFSConfig is the longest string fsconfig(2) takes, in bytes.
const maxFSConfig = 255

// overlayByLayer gives the layers one by one, since a string of fsconfig(2) is short
// and the data page of mount(2) ends at 4,096 bytes.
func overlayByLayer(m Mount) (int, error) {
	fs, err := kernel.FSOpen("overlay")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if takesAnything(fs) {
		return -1, errNotByLayer
	}
	var attr uint64
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		if a := attribute(o); a != 0 {
			attr |= a
			continue
		}
		switch key {
		case "rw":
		case "lowerdir":
			err = setLayers(fs, splitLayers(value))
		default:
			if len(value) > maxFSConfig {
				return -1, errNotByLayer
			}
			err = setOption(fs, o)
		}
		if err != nil {
			return -1, err
		}
	}
	return fs.Mount(int(attr))
}

// takesAnything tells whether overlay still has mount(2)'s parser behind fsconfig(2),
// as before Linux 6.5: that one collects every key, and refuses the ones it does
// not know, lowerdir+ among them, only when the instance is made.
func takesAnything(fs kernel.FSContext) bool {
	return fs.SetString("sardine_no_such_option", "") == nil
}

// setLayers adds the lower directories, the topmost first.
func setLayers(fs kernel.FSContext, layers []string) error {
	for i, l := range layers {
		if len(l) > maxFSConfig {
			return errNotByLayer
		}
		err := fs.SetString("lowerdir+", l)
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return errNotByLayer
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// splitLayers splits a lowerdir option at its colons; "\:" is a colon in a path.
func splitLayers(s string) []string {
	var layers []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			layers = append(layers, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(layers, b.String())
}

// overlayByMount is for older kernels. It runs in a mount namespace of its own. mount(2)
// takes one page of options, so the layers are named relative to their common directory.
func overlayByMount(m Mount) (int, error) {
	options := make([]string, 0, len(m.Options))
	for _, o := range m.Options {
		value, ok := strings.CutPrefix(o, "lowerdir=")
		if !ok {
			options = append(options, o)
			continue
		}
		base, layers := relative(splitLayers(value))
		if err := unix.Chdir(base); err != nil {
			return -1, &kernel.Error{Call: "chdir", Object: base, Err: err}
		}
		options = append(options, "lowerdir="+joinLayers(layers))
	}
	flags, data := legacyOptions(options)
	if err := kernel.Mount("overlay", place, "overlay", flags, data); err != nil {
		return -1, errors.Join(missingDirectory(m), err)
	}
	return kernel.OpenTree(unix.AT_FDCWD, place, false)
}

// missingDirectory names what mount(2) has no way to name.
func missingDirectory(m Mount) error {
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		if key != "lowerdir" && key != "upperdir" && key != "workdir" {
			continue
		}
		for _, dir := range splitLayers(value) {
			if err := unix.Access(dir, unix.F_OK); err != nil {
				return &kernel.Error{Call: "overlay " + key, Object: dir, Err: err}
			}
		}
	}
	return nil
}

func joinLayers(layers []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`)
	escaped := make([]string, len(layers))
	for i, l := range layers {
		escaped[i] = escape.Replace(l)
	}
	return strings.Join(escaped, ":")
}

// relative returns the longest directory that holds all paths, and the paths from there.
func relative(paths []string) (base string, rest []string) {
	base = paths[0]
	for _, p := range paths {
		for base != "" && !strings.HasPrefix(p, base+"/") {
			base = base[:strings.LastIndexByte(base, '/')]
		}
	}
	rest = make([]string, len(paths))
	for i, p := range paths {
		rest[i] = strings.TrimPrefix(p, base+"/")
	}
	return base + "/", rest
}

// legacyOptions splits mount(8) options into mount(2)'s flags and data.
func legacyOptions(options []string) (flags uintptr, data string) {
	known := map[string]uintptr{
		"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
		"noatime": unix.MS_NOATIME, "bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "rw": 0, "defaults": 0,
	}
	var rest []string
	for _, o := range options {
		if f, ok := known[o]; ok {
			flags |= f
		} else {
			rest = append(rest, o)
		}
	}
	return flags, strings.Join(rest, ",")
}

// overlayMapped makes an overlay whose layers are idmapped mounts: overlayfs itself
// cannot be idmapped. The layers are shown to it inside a private mount namespace,
// for kernels before 6.15 accept only attached mounts as layers.
func overlayMapped(m Mount, mapping Mapping, users UserNamespace) (int, error) {
	ns, err := users(mapping)
	if err != nil {
		return -1, err
	}
	return inNamespace(func() (int, error) {
		mapped := m
		mapped.Options = make([]string, 0, len(m.Options))
		for _, o := range m.Options {
			value, ok := strings.CutPrefix(o, "lowerdir=")
			if !ok {
				mapped.Options = append(mapped.Options, o)
				continue
			}
			layers, err := mapLayers(splitLayers(value), ns)
			if err != nil {
				return -1, err
			}
			mapped.Options = append(mapped.Options, "lowerdir="+joinLayers(layers))
		}
		tree, err := overlayByLayer(mapped)
		if errors.Is(err, errNotByLayer) {
			return overlayByMount(mapped)
		}
		return tree, err
	})
}

// mapLayers attaches an idmapped copy of every layer on a tmpfs in this thread's mount
// namespace and returns the new paths.
func mapLayers(layers []string, userns int) ([]string, error) {
	const dir = place + "/"
	if err := kernel.Mount("tmpfs", place, "tmpfs", 0, "mode=700"); err != nil {
		return nil, err
	}
	mapped := make([]string, len(layers))
	for i, l := range layers {
		mapped[i] = dir + strconv.Itoa(i)
		if err := mapLayer(l, mapped[i], userns); err != nil {
			return nil, err
		}
	}
	return mapped, nil
}

func mapLayer(layer, at string, userns int) error {
	tree, err := kernel.OpenTree(unix.AT_FDCWD, layer, false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)}
	if err := kernel.MountSetattr(tree, false, &attr, layer); err != nil {
		return err
	}
	if err := unix.Mkdir(at, 0o700); err != nil {
		return &kernel.Error{Call: "mkdir", Object: at, Err: err}
	}
	target, err := unix.Open(at, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &kernel.Error{Call: "open", Object: at, Err: err}
	}
	defer unix.Close(target)
	return kernel.MoveMount(tree, target, at)
}
