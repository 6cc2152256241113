// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/runtime-tools/generate"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// adjust changes s as the plugins together want it. NRI's generator knows the rules and edits by
// the methods of editor.
func (a *Adaptation) adjust(s *specs.Spec, wanted *api.ContainerAdjustment) error {
	if s.Process == nil {
		s.Process = &specs.Process{}
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	g := generate.SpecGenerator(&editor{s}, a.generatorOptions()...)
	if err := g.Adjust(wanted); err != nil {
		return err
	}
	s.Process.Rlimits = lastOfEachType(s.Process.Rlimits)
	return nil
}

func (a *Adaptation) generatorOptions() []generate.GeneratorOption {
	options := []generate.GeneratorOption{
		generate.WithRdtResolver(func(class string) (*specs.LinuxIntelRdt, error) { return &specs.LinuxIntelRdt{ClosID: class}, nil }),
		generate.WithBlockIOResolver(a.blockIO),
		generate.WithCDIDeviceInjector(a.injectCDI),
	}
	if check := a.callbacks.CheckResources; check != nil {
		options = append(options, generate.WithResourceChecker(func(r *specs.LinuxResources) error {
			if r == nil {
				return nil
			}
			return check(r)
		}))
	}
	return options
}

func (a *Adaptation) blockIO(class string) (*specs.LinuxBlockIO, error) {
	if a.callbacks.BlockIO == nil {
		return nil, fmt.Errorf("block I/O class %q: no classes are configured: %w", class, errdefs.ErrFailedPrecondition)
	}
	return a.callbacks.BlockIO(class)
}

func (a *Adaptation) injectCDI(s *specs.Spec, devices []string) error {
	if a.callbacks.InjectCDI == nil {
		return fmt.Errorf("CDI devices %q: CDI is switched off: %w", devices, errdefs.ErrFailedPrecondition)
	}
	return a.callbacks.InjectCDI(s, devices)
}

// lastOfEachType removes what a plugin has replaced: the generator appends, and a type may occur
// only once in a spec.
func lastOfEachType(limits []specs.POSIXRlimit) []specs.POSIXRlimit {
	var kept []specs.POSIXRlimit
	at := map[string]int{}
	for _, l := range limits {
		if i, seen := at[l.Type]; seen {
			kept[i] = l
			continue
		}
		at[l.Type] = len(kept)
		kept = append(kept, l)
	}
	return kept
}
