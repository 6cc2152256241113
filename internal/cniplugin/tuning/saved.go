// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// savedFile is where an attachment's previous attributes are.
func savedFile(dataDir string, c *cniplugin.Call) string {
	return filepath.Join(dataDir, c.ContainerID+"_"+c.IfName+".json")
}

// save writes what load reads. The file is whole or not there.
func (a attributes) save(file string) error {
	text, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return fmt.Errorf("saved attributes: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o600); err != nil { // the reference plugin's mode; root may enter
		return fmt.Errorf("failed to create backup directory: %w", err)
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("failed to save attributes: %w", errors.Join(err, remove(temporary)))
	}
	if err := os.Rename(temporary, file); err != nil {
		return fmt.Errorf("failed to save attributes: %w", errors.Join(err, remove(temporary)))
	}
	return nil
}

func load(file string) (attributes, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return attributes{}, err
	}
	return decode(text)
}

func decode(text []byte) (a attributes, err error) {
	if err := json.Unmarshal(text, &a); err != nil {
		return attributes{}, fmt.Errorf("saved attributes: %w", err)
	}
	return a, nil
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
