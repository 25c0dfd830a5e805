package database

import (
	"encoding/binary"
	"math/bits"
)

// checksum is what refinery notes of a migration: SipHash-1-3 under the key 0 of name, version and SQL, texts with 0xff behind
// them, as Rust hashes them. Written here because the packages there are know SipHash-2-4 alone.
func (m migration) checksum() uint64 {
	var data []byte
	data = append(data, m.name...)
	data = append(data, 0xff)
	data = binary.LittleEndian.AppendUint32(data, uint32(m.version))
	data = append(data, m.sql...)
	data = append(data, 0xff)
	return siphash13(data)
}

func siphash13(data []byte) uint64 {
	v := [4]uint64{0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573}
	round := func() {
		v[0] += v[1]
		v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
		v[0] = bits.RotateLeft64(v[0], 32)
		v[2] += v[3]
		v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
		v[0] += v[3]
		v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
		v[2] += v[1]
		v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
		v[2] = bits.RotateLeft64(v[2], 32)
	}
	take := func(word uint64) {
		v[3] ^= word
		round()
		v[0] ^= word
	}
	length := uint64(len(data))
	for ; len(data) >= 8; data = data[8:] {
		take(binary.LittleEndian.Uint64(data))
	}
	var rest [8]byte
	copy(rest[:], data)
	take(binary.LittleEndian.Uint64(rest[:]) | length<<56)
	v[2] ^= 0xff
	round()
	round()
	round()
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}
