// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
)

// Kinds of stores.
const (
	Auto    = "auto"    // Systemd if the daemon's unit has a store, otherwise Holder
	Systemd = "systemd" // the file descriptor store of the daemon's unit
	Holder  = "holder"  // a process of ours
	None    = "none"    // nothing is kept
)

// Options of a Store.
type Options struct {
	// Kind is one of the constants above.
	Kind string
	// Dir is the holder's directory, on a tmpfs. Made when missing.
	Dir string
	// Init is the path of sardine-init, which the holder is a mode of.
	Init string
	// Log gets what nobody can be told. Nil: nobody does.
	Log *slog.Logger
}

// Open finds the store, or starts the holder, and takes over what an earlier daemon has kept, wherever
// that was. One process may call it once, as systemd passes descriptors once.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{log: opts.Log, kept: map[string]int{}, found: descriptors{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	passed := takePassed()
	err := s.open(ctx, &opts)
	if err == nil {
		err = s.collect(passed, opts.Dir)
	}
	if err != nil {
		passed.dropAll()
		s.found.dropAll()
		if s.keeper != nil {
			s.keeper.close()
		}
		return nil, err
	}
	s.log.Info("descriptors are kept while no daemon runs", "by", s.Kind(), "found", s.found.len(), "max", s.Max())
	return s, nil
}

// open finds the keeper, and what is with it if that is a holder.
func (s *Store) open(ctx context.Context, opts *Options) error {
	switch opts.Kind {
	case None:
		return nil
	case Holder:
		return s.openHolder(opts)
	case Auto, Systemd:
	default:
		return fmt.Errorf("unknown kind of descriptor store %q, want %s, %s, %s or %s: %w",
			opts.Kind, Auto, Systemd, Holder, None, errdefs.ErrInvalidArgument)
	}
	k, err := s.systemdKeeper(ctx)
	switch {
	case err == nil:
		s.keeper = k
		return nil
	case opts.Kind == Systemd:
		return fmt.Errorf("systemd does not keep descriptors for this process: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	s.log.Info("a process keeps descriptors, as systemd does not", "reason", err)
	return s.openHolder(opts)
}

func (s *Store) openHolder(opts *Options) error {
	h := &holding{path: opts.Dir, init: opts.Init}
	s.keeper = newKeeper(Holder, h.connect)
	has, err := list(s.keeper)
	for try := 0; errors.Is(err, errLost) && try < 3; try++ { // it was about to end
		has, err = list(s.keeper)
	}
	if err != nil {
		return err
	}
	s.keeper.max = has.max
	s.inherit(has.found)
	return nil
}

// collect takes over what is with other keepers: an earlier daemon ran outside of the unit, or in it, or by
// another configuration. They let go of it.
func (s *Store) collect(passed descriptors, dir string) error {
	if s.Kind() == Systemd {
		s.inherit(passed)
	} else {
		systemd := notified()
		defer systemd.close()
		if err := s.move(passed, systemd); err != nil {
			return fmt.Errorf("take over descriptors from systemd: %w", err)
		}
	}
	if s.Kind() == Holder {
		return nil
	}
	h := &holding{path: dir}
	k := newKeeper(Holder, h.dial)
	defer k.close()
	has, err := list(k)
	if errors.Is(err, errLost) || isGone(err) {
		return nil // there is none
	}
	if err == nil {
		err = s.move(has.found, k)
	}
	if err != nil {
		return fmt.Errorf("take over descriptors from an earlier daemon's holder: %w", err)
	}
	return nil
}

// move empties found, copies of what from has.
func (s *Store) move(found descriptors, from *keeper) error {
	defer found.dropAll()
	for key, fds := range found {
		// A daemon that was killed here had moved it already.
		if s.kept[key] == 0 {
			if s.keeper != nil {
				if err := s.send(holder.Message{Order: holder.Store, Name: key}, fds...); err != nil {
					return err
				}
			}
			delete(found, key)
			s.inherit(descriptors{key: fds})
		}
		if err := from.send(holder.Message{Order: holder.Remove, Name: key}); err != nil {
			s.log.Warn("a descriptor that was taken over is also kept where it was", "by", from.kind, "error", err)
		}
	}
	return nil
}

// inherit empties found, copies of what the keeper has.
func (s *Store) inherit(found descriptors) {
	for key, fds := range found {
		s.found[key] = fds
		if s.keeper != nil {
			s.kept[key] = len(fds)
			s.count += len(fds)
		}
	}
	clear(found)
}
