"""A product of one file, and an executable that only knows `--workdir` and `data/<FileName>`."""

from typing import Final

OBSERVATION: Final = "Data.ObservationSequence.ObservationId"
_FRAME: Final = """\
<p:DpdVisRawFrame xmlns:p="http://ecdm.euclid-ec.org/schema/dpd/vis/rawframe">
  <Header>
    <ProductId>{name}</ProductId><DataSetRelease>R1</DataSetRelease>
  </Header>
  <Data>
    <ObservationSequence><ObservationId>{observation}</ObservationId></ObservationSequence>
    <DataStorage format="vis.raw" version="0.1">
      <DataContainer filestatus="PROPOSED"><FileName>{file}</FileName></DataContainer>
    </DataStorage>
  </Data>
</p:DpdVisRawFrame>
"""
PIXELS: Final = """sh -c '
for word; do case $word in --*=*) export "${word#--}"; esac; done
cd "$workdir" || exit 1
name=$(sed -n "s:.*<FileName>\\(.*\\)</FileName>.*:\\1:p" "$frame")
cat "data/$name" > "$pixels"' sh"""
"""The command of an executable with an input `frame` and an output `pixels`."""


def frame_xml(name: str, observation: int, file: str = "") -> str:
    """Return a product by that id, of an observation, that names `file` or `<name>.fits`."""
    return _FRAME.format(name=name, observation=observation, file=file or f"{name}.fits")
