"""Files of people who mean harm: lists of other files, files that grow, files that are damaged."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from tests.audio.media import CASES, Case, encode, made, sound


class Bait(NamedTuple):
    """What a list of files names, so that somebody sees whether it is opened."""

    folder: str
    """With ``secret.wav`` in it."""
    port: int
    """Where somebody listens, TCP."""
    udp: int
    """A port for UDP that nobody has."""


def lists(bait: Bait) -> dict[str, bytes]:
    """Texts by which FFmpeg, left to guess, opens other files, addresses and ports."""
    file, http = f"{bait.folder}/secret.wav", f"http://127.0.0.1:{bait.port}"
    rtp = f"m=audio {bait.udp} RTP/AVP 0\n"
    head = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    texts = {
        "sdp": head + rtp,
        "sdp that names a host": head.replace("127.0.0.1", "239.0.0.1") + rtp,
        "m3u8 of a file": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{file}\n#EXT-X-ENDLIST\n",
        "m3u8 of a path": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n",
        "m3u8 of an address": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{http}/a.ts\n#EXT-X-ENDLIST\n",
        "m3u8 of m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{http}/b.m3u8\n",
        "m3u8 with a key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{http}/key"\n#EXTINF:9,\n{file}\n',
        "m3u8 of concat": f"#EXTM3U\n#EXTINF:9,\nconcat:{file}|{file}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile {file}\n",
        "ffconcat of an address": f"ffconcat version 1.0\nfile {http}/a.wav\n",
        "file": f"file:{file}\n",
        "concat": f"concat:{file}|{file}\n",
        "subfile": f"subfile,,start,0,end,99,,:{file}\n",
        "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        f"<Period><AdaptationSet><Representation id='1' mimeType='audio/mp4' bandwidth='1'><BaseURL>{http}/a.mp4"
        "</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "smil": f"<smil><body><audio src='{http}/a.wav'/></body></smil>",
        "pls": f"[playlist]\nFile1={http}/a.mp3\nNumberOfEntries=1\n",
        "asx": f"<asx version='3.0'><entry><ref href='{http}/a.wma'/></entry></asx>",
        "imf": f'<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Id>{http}</Id></AssetMap>',
        "rtsp": f"rtsp://127.0.0.1:{bait.port}/a",
        "lavfi": f"amovie={file}",
    }
    plain = {name: text.encode() for name, text in texts.items()}
    behind = {
        f"{name} behind {kind}": start + plain[name]
        for name in ("sdp", "m3u8 of a path", "ffconcat", "dash")
        for kind, start in _BEGINNINGS.items()
    }
    return plain | behind | {"a movie that names a file": _movie_of(file)}


_BEGINNINGS = {
    "ID3": b"ID3\3\0\0\0\0\0\0",
    "Ogg": b"OggS\0\2",
    "FLAC": b"fLaC",
    "MP4": b"\0\0\0\x18ftypM4A ",
    "Matroska": b"\x1aE\xdf\xa3",
    "WAV": b"RIFF\0\0\0\0WAVE",
}


def _movie_of(path: str) -> bytes:
    """An MP4 whose data reference is another file: an alias record, as QuickTime has them."""
    data = made("m4a")
    at = data.index(b"dref")
    name = path.encode()
    alias = bytes(10) + name[-27:].ljust(28, b"\0") + bytes(112) + struct.pack(">hh", 2, len(name)) + name
    alias += b"\0" * (len(name) % 2) + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    moved = bytearray(data)
    grown = len(entry) - 12
    moved[at + 12 : at + 24] = entry
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        found = data.rindex(box, 0, at + 4) - 4
        size = int.from_bytes(data[found : found + 4], "big")
        moved[found : found + 4] = (size + grown).to_bytes(4, "big")
    return bytes(moved)


# Bombs


@cache
def bombs() -> dict[str, bytes]:
    """Small files that want a lot of memory or time."""
    return {
        "m4a of 80 million samples": _long_table(1),
        "m4a of 80 million samples, 8 tracks": _long_table(8),
        "flac of days": _flac_of_silence(),
        "flac with a huge picture": made("flac")[:4] + b"\x06\xff\xff\xff" + bytes(64),
        "ogg with many comments": _ogg_comments(),
        "mkv of zlib": _mkv_of_zlib(),
        "mkv of nested sizes": b"\x1aE\xdf\xa3\x01" + b"\xff" * 7 + (b"\x18\x53\x80\x67\x01" + b"\xff" * 7) * 20_000,
        "tta of 4 billion samples": b"TTA1" + struct.pack("<HHHII", 1, 1, 16, 8_000, 2**32 - 1) + bytes(4_096),
        "wav of 65,535 channels": made("wav")[:22] + b"\xff\xff" + made("wav")[24:],
        "aiff of 2 billion samples": made("aiff").replace(SAMPLES_BYTES, b"\x7f\xff\xff\xff", 1),
        "caf of 2^60 packets": b"caff\0\1\0\0desc"
        + struct.pack(">Qd4sIIIII", 32, 8e3, b"alac", 0, 0, 4096, 1, 16)
        + b"pakt"
        + struct.pack(">QQQII", 24, 2**60, 2**60, 0, 0)
        + bytes(4_096),
        "an ID3 tag of 256 MB": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(4_096),
        "zip of zeros": _zip_of_zeros(),
        "gzip of zeros": gzip.compress(bytes(2**24)),
        "svg of entities": b"<!DOCTYPE x ["
        + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"aaaaaaaaaa") for n in range(10))
        + b"]><svg>&a9;</svg>",
        "png of a billion pixels": _png(32_000, 32_000),
        "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + bytes(1_000) + b"\xff\xd9",
        "gif": b"GIF89a\xff\xff\xff\xff\xf7\0\0" + bytes(2_000),
    }


SAMPLES_BYTES = (24_001).to_bytes(4, "big")


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), name) + data


def _long_table(tracks: int) -> bytes:
    """An MP4 whose tables say, in a few bytes, that there are 80 million samples of one byte each."""
    data = made("m4a index first")
    at = data.index(b"moov") - 4
    moov = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    samples = 80_000_000
    changed = moov
    for name, body in (
        (b"stsz", struct.pack(">III", 0, 1, samples)),
        (b"stts", struct.pack(">IIII", 0, 1, samples, 1_024)),
        (b"stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1)),
    ):
        found = changed.index(name) - 4
        old = int.from_bytes(changed[found : found + 4], "big")
        box = _box(name, body)
        for parent in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
            place = changed.index(parent) - 4
            size = int.from_bytes(changed[place : place + 4], "big") + len(box) - old
            changed = changed[:place] + struct.pack(">I", size) + changed[place + 4 :]
        changed = changed[:found] + box + changed[found + old :]
    place = changed.index(b"trak") - 4
    track = changed[place : place + int.from_bytes(changed[place : place + 4], "big")]
    more = b"".join(track.replace(b"tkhd" + track[12:16], b"tkhd" + track[12:16]) for _ in range(tracks - 1))
    end = place + len(track)
    changed = changed[:end] + more + changed[end:]
    changed = struct.pack(">I", len(changed)) + changed[4:]
    return data[:at] + changed + _box(b"mdat", bytes(4_096))


def _flac_of_silence() -> bytes:
    """A file of FLAC in which a few bytes are a second."""
    whole = encode(np.zeros(65_535 * 8, np.int16), Case("flac", "flac", 8_000, {}))
    at = whole.index(b"\xff\xf8", 42)
    return whole[:at] + whole[at:] * 400


def _ogg_comments() -> bytes:
    from playback.audio.media.ogg import checksum

    data = bytearray(made("ogg opus"))
    at = data.index(b"OpusTags") + 8
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    page = bytes(data).rindex(b"OggS", 0, at)
    end = bytes(data).index(b"OggS", at)
    data[page + 22 : page + 26] = checksum(bytes(data[page:end]))
    return bytes(data)


def _mkv_of_zlib() -> bytes:
    """A WebM whose packets are compressed: each of them becomes a thousand times as long."""

    def element(name: bytes, data: bytes) -> bytes:
        return name + struct.pack(">Q", len(data) | 1 << 56) + data

    head = element(b"\x1aE\xdf\xa3", element(b"\x42\x82", b"matroska") + element(b"\x42\x87", b"\4"))
    compression = element(b"\x50\x34", element(b"\x42\x54", b"\0"))
    encoding = element(b"\x62\x40", element(b"\x50\x31", b"\0") + element(b"\x50\x32", b"\1") + compression)
    audio = element(
        b"\xe1", element(b"\xb5", struct.pack(">d", 8e3)) + element(b"\x9f", b"\1") + element(b"\x62\x64", b"\x10")
    )
    track = element(b"\xd7", b"\1") + element(b"\x73\xc5", b"\1") + element(b"\x83", b"\2")
    track += element(b"\x86", b"A_PCM/INT/LIT") + audio + element(b"\x6d\x80", encoding)
    packet = zlib.compress(bytes(9_000_000), 9)
    blocks = b"".join(element(b"\xa3", b"\x81" + struct.pack(">h", n) + b"\x80" + packet) for n in range(100))
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\0") + blocks)
    return head + element(b"\x18\x53\x80\x67", element(b"\x16\x54\xae\x6b", element(b"\xae", track)) + cluster)


def _zip_of_zeros() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"{number}.wav", bytes(2**22))
    return file.getvalue()


def _png(width: int, height: int) -> bytes:
    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(2**22))) + part(b"IEND", b"")


# Damage


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Files of all containers, cut off, with flipped bits, with stretches changed, dropped, doubled or swapped."""
    rng = np.random.default_rng(seed)
    names = list(CASES)
    for number in range(count):
        name = names[number % len(names)]
        data = bytearray(made(name))
        for _ in range(int(rng.integers(1, 4))):
            _mutate(data, rng)
        yield f"{name}, mutation {seed}.{number}", bytes(data)


def _mutate(data: bytearray, rng: np.random.Generator) -> None:
    if len(data) < 16:
        return
    top = len(data) if rng.random() < 0.5 else min(len(data), 600)  # half of them in the header
    start = int(rng.integers(top))
    size = int(rng.integers(1, 1 + min(200, len(data) - start)))
    match int(rng.integers(7)):
        case 0:
            del data[max(start, 16) :]
        case 1:
            for at in rng.integers(top, size=int(rng.integers(1, 30))):
                data[int(at)] ^= 1 << int(rng.integers(8))
        case 2:
            data[start : start + size] = rng.bytes(size)
        case 3:
            del data[start : start + size]
        case 4:
            data[start:start] = data[start : start + size]
        case 5:
            data[start : start + 4] = int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000])).to_bytes(4, "big")
        case _:
            other = made(list(CASES)[int(rng.integers(len(CASES)))])
            data[start:] = other[int(rng.integers(len(other))) :]


def truncations() -> Iterator[tuple[str, bytes]]:
    """Each container, cut off in its header, in its middle, and before its last byte; and each with one bit flipped."""
    for name in CASES:
        data = made(name)
        for size in (5, 40, len(data) // 2, len(data) - 1):
            yield f"{name}, the first {size} bytes", data[:size]
        flipped = bytearray(data)
        flipped[len(data) // 3] ^= 0x10
        yield f"{name}, a flipped bit", bytes(flipped)


def voice(name: str = "flac") -> bytes:
    """A file that is what it says."""
    return encode(sound(CASES[name].rate), CASES[name])
