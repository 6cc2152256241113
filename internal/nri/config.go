// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/adaptation"
	validator "github.com/containerd/nri/plugins/default-validator"
)

// Config has the keys of containerd's [plugins."io.containerd.nri.v1.nri"].
type Config struct {
	Disable    bool   `toml:"disable" json:"disable"`
	SocketPath string `toml:"socket_path" json:"socketPath"` // where plugins connect
	// PluginPath holds programs NN-NAME that are started with the daemon, in this order, and
	// PluginConfigPath what they are configured with: NN-NAME.conf or NAME.conf.
	PluginPath       string `toml:"plugin_path" json:"pluginPath"`
	PluginConfigPath string `toml:"plugin_config_path" json:"pluginConfigPath"`
	// A plugin that is slower than these is dropped; zero means NRI's defaults.
	PluginRegistrationTimeout Duration `toml:"plugin_registration_timeout" json:"pluginRegistrationTimeout"`
	PluginRequestTimeout      Duration `toml:"plugin_request_timeout" json:"pluginRequestTimeout"`
	DisableConnections        bool     `toml:"disable_connections" json:"disableConnections"` // no socket
	// DefaultValidator forbids plugins some adjustments.
	DefaultValidator *validator.DefaultValidatorConfig `toml:"default_validator" json:"defaultValidator"`
}

// DefaultConfig is what holds for keys that a configuration does not have.
func DefaultConfig() *Config {
	return &Config{
		SocketPath:                adaptation.DefaultSocketPath,
		PluginPath:                adaptation.DefaultPluginPath,
		PluginConfigPath:          adaptation.DefaultPluginConfigPath,
		PluginRegistrationTimeout: Duration(adaptation.DefaultPluginRegistrationTimeout),
		PluginRequestTimeout:      Duration(adaptation.DefaultPluginRequestTimeout),
		DefaultValidator:          &validator.DefaultValidatorConfig{},
	}
}

func (c *Config) options() []adaptation.Option {
	opts := []adaptation.Option{
		adaptation.WithDefaultValidator(c.DefaultValidator),
	}
	for path, with := range map[*string]func(string) adaptation.Option{
		&c.SocketPath:       adaptation.WithSocketPath,
		&c.PluginPath:       adaptation.WithPluginPath,
		&c.PluginConfigPath: adaptation.WithPluginConfigPath,
	} {
		if *path != "" {
			opts = append(opts, with(*path))
		}
	}
	if c.DisableConnections {
		opts = append(opts, adaptation.WithDisabledExternalConnections())
	}
	return opts
}

// installed reports whether there may be plugins that are started with the daemon.
func (c *Config) installed() bool {
	path := c.PluginPath
	if path == "" {
		path = adaptation.DefaultPluginPath
	}
	entries, err := os.ReadDir(path)
	return len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) || c.DefaultValidator != nil && c.DefaultValidator.Enable
}

// setTimeouts concerns the whole process: the adaptation keeps them in global variables.
func (c *Config) setTimeouts() {
	if c.PluginRegistrationTimeout > 0 {
		adaptation.SetPluginRegistrationTimeout(time.Duration(c.PluginRegistrationTimeout))
	}
	if c.PluginRequestTimeout > 0 {
		adaptation.SetPluginRequestTimeout(time.Duration(c.PluginRequestTimeout))
	}
}

// Duration is written "2s".
type Duration time.Duration

// UnmarshalText reads time.ParseDuration's format. ErrInvalidArgument.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText is the reverse.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
