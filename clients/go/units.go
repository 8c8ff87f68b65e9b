package neap

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Duration is a duration as configurations write it: "1h30m", "250ms", "10" (seconds), or [Forever]. The empty text
// means that none is given, which is something else than "0s".
type Duration string

// Forever is a start_timeout without an end.
const Forever Duration = "infinity"

// For is this duration as a spec has it.
func For(d time.Duration) Duration {
	if d%time.Millisecond == 0 {
		return Duration(strconv.FormatInt(d.Milliseconds(), 10) + "ms")
	}
	return Duration(strconv.FormatInt(d.Nanoseconds(), 10) + "ns")
}

// UnmarshalJSON reads text, or milliseconds as the instance tells them, of which -1 is [Forever].
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, number, err := textOrNumber(data)
	switch {
	case err != nil:
		return fmt.Errorf("a duration: %w", err)
	case number == "":
		*d = Duration(text)
	case number == "-1":
		*d = Forever
	default:
		*d = Duration(number + "ms")
	}
	return nil
}

// Size is a number of bytes as configurations write it: "512MiB", "1G", "4096". The empty text means that none is given.
type Size string

// Bytes is this many bytes as a spec has them.
func Bytes(n uint64) Size { return Size(strconv.FormatUint(n, 10)) }

// UnmarshalJSON reads text or a number.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, number, err := textOrNumber(data)
	if err != nil {
		return fmt.Errorf("a size: %w", err)
	}
	*s = Size(text + number)
	return nil
}

// CPU is a share of the processors: "1.5" is cores, "500m" a half. The empty text means that none is given.
type CPU string

// Cores is this many cores as a spec has them.
func Cores(n float64) CPU { return CPU(strconv.FormatFloat(n*1000, 'f', 0, 64) + "m") }

// UnmarshalJSON reads text, or cores as the instance tells them.
func (c *CPU) UnmarshalJSON(data []byte) error {
	text, number, err := textOrNumber(data)
	if err != nil {
		return fmt.Errorf("a share of processors: %w", err)
	}
	*c = CPU(text)
	if number != "" {
		cores, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return err
		}
		*c = Cores(cores)
	}
	return nil
}

// Value is a pointer to a value, for fields of a [Spec] where absent and zero are two things.
func Value[T any](v T) *T { return &v }

func textOrNumber(data []byte) (text, number string, err error) {
	if string(data) == "null" {
		return "", "", nil
	}
	if len(data) > 0 && data[0] == '"' {
		err = json.Unmarshal(data, &text)
		return text, "", err
	}
	var n json.Number
	err = json.Unmarshal(data, &n)
	return "", n.String(), err
}
