"""What a registry keeps of an image: the same bytes each time, in the form that the OCI image spec asks for."""

from __future__ import annotations

import hashlib
import json

from torchferry import oci


def test_a_manifest_is_these_bytes_and_no_others() -> None:
    # A failure here means that every image gets another digest in registries, though nothing in it changed; and
    # templates/ferry/push.sh writes the same text.
    layers = [oci.layer_descriptor("a" * 64, 7), oci.layer_descriptor("b" * 64, 9)]
    made = oci.manifest(oci.config_descriptor(b"{}"), layers)
    assert made.data.decode() == (
        '{"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",'
        '"mediaType":"application/vnd.oci.image.config.v1+json","size":2},"layers":['
        f'{{"digest":"sha256:{"a" * 64}","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7}},'
        f'{{"digest":"sha256:{"b" * 64}","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":9}}],'
        '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )
    assert made.descriptor == oci.Descriptor(
        media_type=oci.MANIFEST_TYPE, digest=f"sha256:{hashlib.sha256(made.data).hexdigest()}", size=len(made.data))


def test_an_index_is_the_same_in_whatever_order_its_images_come() -> None:
    images = {
        f"linux/{cpu}": oci.Document(media_type=oci.MANIFEST_TYPE, data=cpu.encode()) for cpu in ("arm64", "amd64")}
    made = oci.index(images)
    assert made == oci.index(dict(reversed(images.items())))
    said = json.loads(made.data)
    assert [row["platform"]["architecture"] for row in said["manifests"]] == ["amd64", "arm64"]
    assert said["manifests"][0]["digest"] == f"sha256:{hashlib.sha256(b'amd64').hexdigest()}"
    assert (said["schemaVersion"], said["mediaType"]) == (2, oci.INDEX_TYPE)
