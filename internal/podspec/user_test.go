// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// passwd and group are those of an image.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\napp:x:1000:1001:App:/home/app:/bin/sh\nother:x:2000:2000::/:/bin/sh\n"
	group  = "root:x:0:root\nbin:x:1:root,bin\nwheel:x:10:root,app\napp:x:1001:app\nvideo:x:44:app,other\n"
)

// oddPasswd and oddGroup are files that tools left behind half broken.
const (
	oddPasswd = "# comment\n\n  \nshort\nroot:x:zero:0\n+nis\n:x:3:4::/:\nneg:x:-1:5::/:\napp:x:1000\napp:x:7:8::/:\nroot:x:0:0\n"
	oddGroup  = "# comment\nshort\n:x:5:\napp:x:twelve:app\ndup:x:6:app,app\nempty:x:7:,\nroot:x:0:app\n"
)

// stock is what containerd's own options make of a user.
func stock(dir, user, member string) (specs.User, error) {
	s := &specs.Spec{Root: &specs.Root{Path: dir}, Process: &specs.Process{}, Linux: &specs.Linux{}}
	var opts []oci.SpecOpts
	if user != "" {
		opts = append(opts, oci.WithUser(user))
	}
	opts = append(opts, oci.WithAdditionalGIDs(member))
	err := oci.ApplyOpts(context.Background(), nil, &containers.Container{}, s, opts...)
	slices.Sort(s.Process.User.AdditionalGids)
	s.Process.User.AdditionalGids = slices.Compact(s.Process.User.AdditionalGids)
	return s.Process.User, err
}

// TestUserLikeContainerd compares with containerd's code for users of the image format.
func TestUserLikeContainerd(t *testing.T) {
	users := []string{
		"", "0", "root", "1", "bin", "app", "1000", "other", "2000", "4711", "nobody", "app:video", "app:44", "1000:video", "1000:1",
		"nobody:1", "4711:4712", "app:nogroup", ":5", "5:", ":", "app:", "-1", "+5", "2147483647", "2147483648", "4294967295", "99999999999999999999",
		"1:2147483648", "1:99999999999999999999", "a:b:c", "neg", "short", "+nis", " app", "0x10", "zero",
	}
	for name, image := range map[string]struct{ passwd, group string }{
		"usual": {passwd, group}, "odd": {oddPasswd, oddGroup}, "none": {}, "no group": {passwd, ""}, "no passwd": {"", group},
	} {
		for _, user := range users {
			t.Run(name+"/"+user, func(t *testing.T) { compareUser(t, image.passwd, image.group, user) })
		}
	}
}

func compareUser(t *testing.T, passwd, group, user string) {
	dir, image := t.TempDir(), map[string]string{}
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"/etc/passwd": passwd, "/etc/group": group} {
		if content == "" {
			continue
		}
		image[path] = content
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	member := "0"
	if user != "" {
		member, _, _ = strings.Cut(user, ":")
	}
	want, wantErr := stock(dir, user, member)
	c := testContainer()
	c.Image.Config.User, c.ReadFile = user, files(image)
	r, err := newTranslator(t, testNode()).Translate(c)
	if err != nil {
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("class of %v", err)
		}
		if wantErr == nil && !outOfRange(want) {
			t.Errorf("got error %v, containerd takes it: %+v", err, want)
		}
		return
	}
	got := r.Spec.Process.User
	if wantErr != nil {
		t.Fatalf("got %+v, containerd refuses it: %v", got, wantErr)
	}
	if got.UID != want.UID || got.GID != want.GID || !slices.Equal(got.AdditionalGids, want.AdditionalGids) {
		t.Errorf("got %+v, containerd has %+v", got, want)
	}
}

// outOfRange: containerd takes such ids from an image's files, but its runtime does not.
func outOfRange(u specs.User) bool {
	return u.UID > math.MaxInt32 || u.GID > math.MaxInt32 || slices.ContainsFunc(u.AdditionalGids, func(g uint32) bool { return g > math.MaxInt32 })
}

func TestHostileUserFiles(t *testing.T) {
	longLine := "app:x:1000:1001::" + strings.Repeat("x", 1<<20) + ":\n"
	for name, image := range map[string]map[string]string{
		"huge passwd":      {"/etc/passwd": strings.Repeat("a:x:1:1::/:\n", maxUserFile/10)},
		"huge group":       {"/etc/passwd": passwd, "/etc/group": strings.Repeat("a:x:1:app\n", maxUserFile/8)},
		"a line of 1 MB":   {"/etc/passwd": longLine},
		"a group of 1 MB":  {"/etc/passwd": passwd, "/etc/group": "g:x:1:" + strings.Repeat("a,", 1<<20) + "\n"},
		"a gid in passwd":  {"/etc/passwd": "app:x:1000:-7::/:\n"},
		"a gid of a group": {"/etc/passwd": passwd, "/etc/group": "g:x:" + strconv.Itoa(math.MaxUint32) + ":app\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testContainer()
			c.Config.Linux.SecurityContext.RunAsUsername, c.ReadFile = "app", files(image)
			_, err := newTranslator(t, testNode()).Translate(c)
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("got %v, want InvalidArgument", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestUnreadableUserFile(t *testing.T) {
	c := testContainer()
	c.ReadFile = func(string) ([]byte, error) { return nil, errors.New("disk broken") }
	if _, err := newTranslator(t, testNode()).Translate(c); err == nil || !strings.Contains(err.Error(), "disk broken") {
		t.Fatal(err)
	}
}

func FuzzUser(f *testing.F) {
	f.Add("app:video", passwd, group)
	f.Add("1000", oddPasswd, oddGroup)
	f.Fuzz(func(t *testing.T, user, passwd, group string) { compareUser(t, passwd, group, user) })
}
