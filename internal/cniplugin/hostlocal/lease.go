// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// lineBreak is between the container and the interface in a lease.
	lineBreak = "\r\n"
	// maxContent is the longest content of a lease.
	maxContent = 4096
	// leaseMode are the permissions of every file.
	leaseMode = 0o600
)

// tenant is who has addresses: an interface of a container.
type tenant struct {
	id, ifName string
}

func holder(c *cniplugin.Call) (tenant, error) {
	who := tenant{strings.TrimSpace(c.ContainerID), c.IfName}
	if err := utils.ValidateContainerID(who.id); err != nil {
		return who, err
	}
	if err := utils.ValidateInterfaceName(who.ifName); err != nil {
		return who, err
	}
	if len(who.content()) > maxContent {
		return who, types.NewError(types.ErrInvalidEnvironmentVariables, "the container's ID is too long for a lease", "")
	}
	return who, nil
}

// content is what is in the file of a lease.
func (t tenant) content() string { return t.id + lineBreak + t.ifName }

// read makes the index of what is in the directory. Files that are no lease, whatever they are, are left alone.
func (d *directory) read(ctx context.Context) error {
	d.index, d.fresh, d.changed = newIndex(), true, true
	err := d.each(ctx, func(a address, owner string, _ bool) error {
		d.index.add(a, owner)
		return nil
	})
	if err != nil {
		d.index = nil
	}
	return err
}

// each calls f for every file that has the name of an address, with its content: "" and false when it has none
// that can be read.
func (d *directory) each(ctx context.Context, f func(a address, owner string, readable bool) error) error {
	again, err := kernel.OpenAgain(d.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	files := os.NewFile(uintptr(again), d.path)
	defer files.Close()
	for {
		const some = 512
		entries, err := files.ReadDir(some)
		for _, e := range entries {
			a, ok := parseAddress(e.Name())
			if !ok {
				continue
			}
			owner, readable := "", false
			if e.Type().IsRegular() { // to open a device may have effects
				owner, readable = d.owner(a)
			}
			if err := f(a, owner, readable); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// owner reads a lease. Contents that are too long are nobody's.
func (d *directory) owner(a address) (string, bool) {
	data, err := kernel.ReadSmall(d.fd, a.String(), maxContent+1)
	if err != nil || len(data) > maxContent {
		return "", false
	}
	return strings.TrimSpace(string(data)), true
}

// reserve makes the lease of a; false when somebody has it.
func (d *directory) reserve(a address, who tenant) (bool, error) {
	err := kernel.CreateSmall(d.fd, a.String(), []byte(who.content()), leaseMode)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.index.add(a, who.content())
	d.changed = true
	return true, nil
}

// remove ends the lease of a, which was read and is owner's.
func (d *directory) remove(a address, owner string) error {
	if err := kernel.UnlinkAt(d.fd, a.String()); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	d.index.remove(a, owner)
	d.changed = true
	return nil
}

// owned returns the leases whose content is owner. What the index says is read; when it was wrong, everything is.
func (d *directory) owned(ctx context.Context, owner string) ([]address, error) {
	for {
		leases, right := d.index.of(owner), true
		for _, a := range leases {
			if content, _ := d.owner(a); content != owner {
				right = false
			}
		}
		if right {
			return leases, nil
		}
		if d.fresh {
			return nil, fmt.Errorf("files change in the locked directory: %w", unix.EBUSY)
		}
		if err := d.read(ctx); err != nil {
			return nil, err
		}
	}
}

// held returns what who has: leases of the interface, or else those that versions before 0.8 of the reference plugin made
// for the container as a whole.
func (d *directory) held(ctx context.Context, who tenant) ([]address, error) {
	leases, err := d.owned(ctx, who.content())
	if err != nil || len(leases) > 0 {
		return leases, err
	}
	return d.owned(ctx, who.id)
}

// releaseAll ends all leases of who, in whatever range they are. It goes on after a failure.
func (d *directory) releaseAll(ctx context.Context, who tenant) error {
	for _, owner := range []string{who.content(), who.id} {
		leases, err := d.owned(ctx, owner)
		for _, a := range leases {
			err = errors.Join(err, d.remove(a, owner))
		}
		if err != nil || len(leases) > 0 {
			return err
		}
	}
	return nil
}

// collect ends the leases of all attachments but the valid ones, and removes leases that are empty. Under the lock those belong to
// nobody: whoever made them was killed before the content was written.
func (d *directory) collect(ctx context.Context, valid []types.GCAttachment) error {
	keep := map[string]bool{}
	for _, v := range valid {
		keep[tenant{v.ContainerID, v.IfName}.content()], keep[v.ContainerID] = true, true
	}
	var failures error
	err := d.each(ctx, func(a address, owner string, readable bool) error {
		if readable && !keep[owner] && isLease(owner) {
			failures = errors.Join(failures, d.remove(a, owner))
		}
		return nil
	})
	return errors.Join(failures, err)
}

// isLease tells contents that the plugin may have written from those that are somebody else's.
func isLease(content string) bool {
	if content == "" {
		return true
	}
	id, ifName, both := strings.Cut(content, lineBreak)
	return utils.ValidateContainerID(id) == nil && (!both || utils.ValidateInterfaceName(ifName) == nil)
}
