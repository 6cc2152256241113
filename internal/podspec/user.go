// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// user sets the ids of the process: the request's user, else the image's, with the groups
// that its /etc/group gives it and those of the request.
func (t *translation) user() error {
	db := &userFiles{read: t.c.ReadFile}
	u := &t.spec.Process.User
	spec, err := t.userSpec()
	if err != nil {
		return err
	}
	groups := u.AdditionalGids // of a base spec
	if spec != "" {
		if u.UID, u.GID, err = db.find(spec); err != nil {
			return err
		}
		groups = nil
	}
	groups = append(groups, u.GID)
	if t.security.GetSupplementalGroupsPolicy() == runtime.SupplementalGroupsPolicy_Merge {
		more, err := db.groupsOf(t.member(spec))
		if err != nil {
			return err
		}
		groups = append(groups, more...)
	}
	for _, g := range t.security.GetSupplementalGroups() {
		groups = append(groups, uint32(g)) // in range: checked
	}
	slices.Sort(groups)
	u.AdditionalGids = slices.Compact(groups)
	return nil
}

// StatusUser is the user of a spec as ContainerStatus tells it.
func StatusUser(s *specs.Spec) *runtime.ContainerUser {
	l := &runtime.LinuxContainerUser{}
	if s.Process != nil {
		l.Uid, l.Gid = int64(s.Process.User.UID), int64(s.Process.User.GID)
		for _, g := range s.Process.User.AdditionalGids {
			l.SupplementalGroups = append(l.SupplementalGroups, int64(g))
		}
	}
	return &runtime.ContainerUser{Linux: l}
}

// userSpec is "user", "uid", "user:group" or "uid:gid", "" if nobody is asked for. A name
// wins over an id.
func (t *translation) userSpec() (string, error) {
	spec := t.security.GetRunAsUsername()
	if spec == "" && t.security.GetRunAsUser() != nil {
		spec = strconv.FormatInt(t.security.GetRunAsUser().GetValue(), 10)
	}
	group := t.security.GetRunAsGroup()
	switch {
	case spec == "" && group != nil:
		return "", invalid("run_as_group: %d is given without a user", group.GetValue())
	case spec == "":
		return t.image.User, nil
	case group != nil:
		spec += ":" + strconv.FormatInt(group.GetValue(), 10)
	}
	return spec, nil
}

// member is whose groups are looked up, a name or an id: root's if nobody is asked for.
func (t *translation) member(spec string) string {
	if spec == "" {
		return "0"
	}
	name, _, _ := strings.Cut(spec, ":")
	return name
}

// userFiles are the image's /etc/passwd and /etc/group, read when needed.
type userFiles struct {
	read          func(path string) ([]byte, error)
	passwd, group *file
}

type file struct {
	content []byte
	err     error
}

// maxUserFile bounds what is parsed for each container.
const maxUserFile = 10 << 20

func (d *userFiles) file(f **file, path string) ([]byte, error) {
	if *f == nil {
		*f = &file{err: fs.ErrNotExist}
		if d.read != nil {
			(*f).content, (*f).err = d.read(path)
		}
		if len((*f).content) > maxUserFile {
			**f = file{err: invalid("the image's %s has more than %d bytes", path, maxUserFile)}
		}
	}
	return (*f).content, (*f).err
}

// errNoUser and errNoGroup: the file has no such entry, or there is no file.
var (
	errNoUser  = errors.New("no users found")
	errNoGroup = errors.New("no groups found")
)

func (d *userFiles) user(match func(user.User) bool) (user.User, error) {
	content, err := d.file(&d.passwd, "/etc/passwd")
	if errors.Is(err, fs.ErrNotExist) {
		return user.User{}, errNoUser
	}
	if err != nil {
		return user.User{}, invalid("the image's /etc/passwd: %v", err)
	}
	list, err := user.ParsePasswdFilter(bytes.NewReader(content), match)
	if err != nil {
		return user.User{}, invalid("the image's /etc/passwd: %v", err)
	}
	if len(list) == 0 {
		return user.User{}, errNoUser
	}
	u := list[0]
	if err := checkID("the image's /etc/passwd: uid of "+quoted(u.Name), int64(u.Uid)); err != nil {
		return u, err
	}
	return u, checkID("the image's /etc/passwd: gid of "+quoted(u.Name), int64(u.Gid))
}

// groups are all that match; none if there is no file.
func (d *userFiles) groups(match func(user.Group) bool) ([]uint32, error) {
	content, err := d.file(&d.group, "/etc/group")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, invalid("the image's /etc/group: %v", err)
	}
	list, err := user.ParseGroupFilter(bytes.NewReader(content), match)
	if err != nil {
		return nil, invalid("the image's /etc/group: %v", err)
	}
	var gids []uint32
	for _, g := range list {
		if err := checkID("the image's /etc/group: gid of "+quoted(g.Name), int64(g.Gid)); err != nil {
			return nil, err
		}
		gids = append(gids, uint32(g.Gid))
	}
	return gids, nil
}

// find resolves a user specification of the image format.
func (d *userFiles) find(spec string) (uid, gid uint32, err error) {
	if err := checkLine("user", spec, maxName); err != nil {
		return 0, 0, err
	}
	name, group, both := strings.Cut(spec, ":")
	if strings.Contains(group, ":") {
		return 0, 0, invalid("user: %s is not user, uid, user:group or uid:gid", quoted(spec))
	}
	if !both {
		return d.findUser(name)
	}
	if id, numeric, err := number("user", name); err != nil {
		return 0, 0, err
	} else if numeric || name == "" {
		uid = id
	} else if uid, _, err = d.findUser(name); err != nil {
		return 0, 0, err
	}
	gid, err = d.findGroup(group)
	return uid, gid, err
}

// findUser: an id that /etc/passwd does not have gets group 0.
func (d *userFiles) findUser(name string) (uid, gid uint32, err error) {
	id, numeric, err := number("user", name)
	if err != nil {
		return 0, 0, err
	}
	u, err := d.user(func(u user.User) bool {
		if numeric {
			return u.Uid == int(id)
		}
		return u.Name == name
	})
	if errors.Is(err, errNoUser) {
		if numeric {
			return id, 0, nil
		}
		return 0, 0, invalid("user: %w in the image's /etc/passwd with the name %s", errNoUser, quoted(name))
	}
	if err != nil {
		return 0, 0, err
	}
	return uint32(u.Uid), uint32(u.Gid), nil
}

func (d *userFiles) findGroup(name string) (uint32, error) {
	id, numeric, err := number("group", name)
	if err != nil || numeric || name == "" {
		return id, err
	}
	gids, err := d.groups(func(g user.Group) bool { return g.Name == name })
	if err != nil {
		return 0, err
	}
	if len(gids) == 0 {
		return 0, invalid("group: %w in the image's /etc/group with the name %s", errNoGroup, quoted(name))
	}
	return gids[0], nil
}

// number reads an id; what is no number is a name.
func number(field, s string) (id uint32, numeric bool, err error) {
	n, err := strconv.Atoi(s)
	if errors.Is(err, strconv.ErrRange) {
		return 0, false, invalid("%s: %s is out of range", field, quoted(s))
	}
	if err != nil {
		return 0, false, nil
	}
	return uint32(n), true, checkID(field, int64(n))
}

// groupsOf are the groups that list a user, given by name or id. A group of the user's own
// name is its primary one, which passwd gives.
func (d *userFiles) groupsOf(member string) ([]uint32, error) {
	id, numeric, err := number("user", member)
	if err != nil {
		return nil, err
	}
	if numeric {
		u, err := d.user(func(u user.User) bool { return u.Uid == int(id) })
		if errors.Is(err, errNoUser) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		member = u.Name
	}
	return d.groups(func(g user.Group) bool { return g.Name != member && slices.Contains(g.List, member) })
}
