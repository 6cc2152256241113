// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// maxIDMaps is the kernel's bound on the lines of uid_map: user_namespaces(7).
const maxIDMaps = 340

// idMaps takes over the maps of the user namespace. A path with maps is accepted,
// as containerd and CRI-O send both; the maps then only serve idmapped mounts.
func (t *translation) idMaps() error {
	mapped := len(t.linux.UIDMappings)+len(t.linux.GIDMappings) > 0
	if !t.spaces.has(unix.CLONE_NEWUSER) {
		if mapped {
			return invalid("linux.uidMappings, linux.gidMappings: there is no user namespace to use them")
		}
		return nil
	}
	m, err := mapping("linux.", t.linux.UIDMappings, t.linux.GIDMappings)
	if err != nil {
		return err
	}
	if t.spaces[unix.CLONE_NEWUSER] != "" {
		return t.sameMapping(m)
	}
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return invalid("linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings")
	}
	if !mapsID(m.UIDs, 0) || !mapsID(m.GIDs, 0) {
		return invalid("linux.uidMappings, linux.gidMappings: id 0 of the container is not mapped; setting the container up needs it")
	}
	t.req.Namespaces.UIDs, t.req.Namespaces.GIDs = m.UIDs, m.GIDs
	return nil
}

// sameMapping refuses maps that contradict the user namespace given by path.
func (t *translation) sameMapping(m *rootfs.Mapping) error {
	if len(m.UIDs)+len(m.GIDs) == 0 {
		return nil
	}
	actual := t.joinedMapping()
	if actual == nil || (slices.Equal(actual.UIDs, m.UIDs) && slices.Equal(actual.GIDs, m.GIDs)) {
		return nil
	}
	return invalid("linux.uidMappings, linux.gidMappings: they differ from the maps of the user namespace %q; give the path alone",
		t.spaces[unix.CLONE_NEWUSER])
}

// joinedMapping reads the maps of the user namespace to be joined. They are known only
// for a path like /proc/12/ns/user: one that is pinned, or held open (/proc/12/fd/3), does not
// tell. Nil when unknown.
func (t *translation) joinedMapping() *rootfs.Mapping {
	ns := t.spaces[unix.CLONE_NEWUSER]
	process := path.Dir(path.Dir(ns))
	if !strings.HasPrefix(process, "/proc/") || path.Base(path.Dir(ns)) != "ns" {
		return nil
	}
	uids, err := readIDMap(process + "/uid_map")
	if err != nil {
		return nil
	}
	gids, err := readIDMap(process + "/gid_map")
	if err != nil {
		return nil
	}
	return &rootfs.Mapping{UIDs: uids, GIDs: gids}
}

func readIDMap(file string) ([]rootfs.IDMap, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var maps []rootfs.IDMap
	for line := range strings.Lines(string(b)) {
		var m rootfs.IDMap
		if _, err := fmt.Sscan(line, &m.Inside, &m.Outside, &m.Size); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		maps = append(maps, m)
	}
	return maps, nil
}

// containerMapping is the map of the container's user namespace, nil when there is
// none or it cannot be known.
func (t *translation) containerMapping() *rootfs.Mapping {
	if n := &t.req.Namespaces; len(n.UIDs) > 0 {
		return &rootfs.Mapping{UIDs: n.UIDs, GIDs: n.GIDs}
	}
	if t.spaces[unix.CLONE_NEWUSER] == "" {
		return nil
	}
	if m, err := mapping("linux.", t.linux.UIDMappings, t.linux.GIDMappings); err == nil && len(m.UIDs) > 0 && len(m.GIDs) > 0 {
		return m
	}
	return t.joinedMapping()
}

// mapping checks a pair of maps of the spec.
func mapping(field string, uids, gids []specs.LinuxIDMapping) (*rootfs.Mapping, error) {
	u, err := idMap(field+"uidMappings", uids)
	if err != nil {
		return nil, err
	}
	g, err := idMap(field+"gidMappings", gids)
	if err != nil {
		return nil, err
	}
	return &rootfs.Mapping{UIDs: u, GIDs: g}, nil
}

func idMap(field string, list []specs.LinuxIDMapping) ([]rootfs.IDMap, error) {
	if len(list) > maxIDMaps {
		return nil, invalid("%s: %d lines; the kernel takes %d", field, len(list), maxIDMaps)
	}
	var maps []rootfs.IDMap
	for _, m := range list {
		n := rootfs.IDMap{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size}
		if err := checkIDMap(field, n, maps); err != nil {
			return nil, err
		}
		maps = append(maps, n)
	}
	return maps, nil
}

// checkIDMap refuses what the kernel refuses: an empty range, one that ends after the
// last id, one that overlaps an earlier one on either side.
func checkIDMap(field string, m rootfs.IDMap, earlier []rootfs.IDMap) error {
	const end = uint64(1)<<32 - 1 // (uid_t)-1 is no id
	if m.Size == 0 {
		return invalid("%s: %d:%d:%d is empty", field, m.Inside, m.Outside, m.Size)
	}
	if uint64(m.Inside)+uint64(m.Size) > end || uint64(m.Outside)+uint64(m.Size) > end {
		return invalid("%s: %d:%d:%d reaches beyond the last id", field, m.Inside, m.Outside, m.Size)
	}
	for _, e := range earlier {
		if overlap(m.Inside, e.Inside, m.Size, e.Size) || overlap(m.Outside, e.Outside, m.Size, e.Size) {
			return invalid("%s: %d:%d:%d overlaps %d:%d:%d", field, m.Inside, m.Outside, m.Size, e.Inside, e.Outside, e.Size)
		}
	}
	return nil
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// mapsID reports whether id of the container has an id outside.
func mapsID(maps []rootfs.IDMap, id uint32) bool {
	return slices.ContainsFunc(maps, func(m rootfs.IDMap) bool { return id >= m.Inside && id-m.Inside < m.Size })
}

// parseIDMaps reads the value of a snapshotter's uidmap= or gidmap= mount option:
// "inside:outside:size", several joined by commas.
func parseIDMaps(field, s string) ([]rootfs.IDMap, error) {
	var list []specs.LinuxIDMapping
	for entry := range strings.SplitSeq(s, ",") {
		var ids [3]uint32
		parts := strings.Split(entry, ":")
		if len(parts) != len(ids) {
			return nil, invalid("%s: %q is not inside:outside:size", field, entry)
		}
		for i, part := range parts {
			n, err := strconv.ParseUint(part, 10, 32)
			if err != nil {
				return nil, invalid("%s: %q is not inside:outside:size", field, entry)
			}
			ids[i] = uint32(n)
		}
		list = append(list, specs.LinuxIDMapping{ContainerID: ids[0], HostID: ids[1], Size: ids[2]})
	}
	return idMap(field, list)
}
