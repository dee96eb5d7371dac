#!/bin/bash
# by_hand.sh WORKDIR [python|astromatic]: the pipeline as a shell script, without any engine.
#
# WORKDIR is what vis/simulate.py has filled. Same programs, options and order of lists as the
# pipeline scripts, so the products hold the same values: see compare.py.
# PYTHON=interpreter; TIMES=file gets a line "program user_s system_s peak_KiB status" a task.
set -euo pipefail

workdir=$(cd "${1:?by_hand.sh WORKDIR [python|astromatic]}" && pwd)
flavour=${2:-python}
case $flavour in
    python | astromatic) ;;
    *) echo "by_hand.sh: the flavour '$flavour' is neither python nor astromatic" >&2; exit 2 ;;
esac
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1  # as the engine does
python=${PYTHON:-python3}
programs=$(cd "$(dirname "$0")/vis" && pwd)
cd "$workdir"

# program FILE OUTPUT-FOLDER OPTION...: run one program
program() {
    local name=$1 folder=$2
    shift 2
    mkdir -p "$folder" "logs/$folder"
    local line=("$python" "$programs/$name.py" --workdir="$workdir" --logdir="logs/$folder" "$@")
    if [ -n "${TIMES:-}" ]; then
        /usr/bin/time -a -o "$TIMES" -f "$name %U %S %M %x" "${line[@]}"
    else
        "${line[@]}"
    fi
}

# split FILE: write each element of a list of lists to a list file FILE.1 FILE.2 ...
split() {
    "$python" - "$1" <<'P'
import json, sys
for number, item in enumerate(json.load(open(sys.argv[1])), start=1):
    with open(f"{sys.argv[1]}.{number}", "w") as file:
        json.dump(item, file)
P
}

# length FILE: print how many elements a list file has
length() { "$python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$1"; }

# list OUTPUT ELEMENT...: write a list file
list() {
    local output=$1
    shift
    mkdir -p "$(dirname "$output")"
    "$python" -c 'import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], "w"))' "$output" "$@"
}

# element FILE NUMBER: print one element of a list file, counted from 1
element() {
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[int(sys.argv[2]) - 1])' "$@"
}

# port NAME: print the value of a port in the input file
port() { sed -n "s/^$1=//p" vis.isf; }

# --- calibrate
biases=by_hand/biases.json darks=by_hand/darks.json flats=by_hand/flats.json
frames=$(port bias_frames)
detectors=$(length "$frames")
split "$frames"
made=()
for d in $(seq "$detectors"); do
    out=calibrate.make_biases.iterations.$d.vis_master_bias
    program master_bias "$out" --frames="$frames.$d" --master_bias="$out/master_bias.fits"
    made+=("$out/master_bias.fits")
done
list $biases "${made[@]}"

frames=$(port dark_frames)
split "$frames"
made=()
for d in $(seq "$detectors"); do
    out=calibrate.make_darks.iterations.$d.vis_master_dark
    program master_dark "$out" --frames="$frames.$d" --master_biases=$biases \
        --master_dark="$out/master_dark.fits"
    made+=("$out/master_dark.fits")
done
list $darks "${made[@]}"

frames=$(port flat_frames)
split "$frames"
made=()
for d in $(seq "$detectors"); do
    out=calibrate.make_flats.iterations.$d.vis_master_flat
    program master_flat "$out" --frames="$frames.$d" --master_biases=$biases \
        --master_darks=$darks --master_flat="$out/master_flat.fits"
    made+=("$out/master_flat.fits")
done
list $flats "${made[@]}"

# --- reduce each exposure, each detector
exposures=$(port exposures)
reduced=()
for e in $(seq "$(length "$exposures")"); do
    exposure=$(element "$exposures" "$e")
    for d in $(seq "$(length "$exposure")"); do
        b=reduce_exposure.iterations.$e.reduce_detector.iterations.$d
        raw=$(element "$exposure" "$d")
        program correct "$b.vis_correct" --raw="$raw" --master_biases=$biases \
            --master_darks=$darks --master_flats=$flats \
            --corrected="$b.vis_correct/corrected.fits"
        program cosmics "$b.vis_cosmics" --sigma=6 --frame="$b.vis_correct/corrected.fits" \
            --cleaned="$b.vis_cosmics/cleaned.fits"
        frame=$b.vis_background/subtracted.fits
        program background "$b.vis_background" --box=128 \
            --frame="$b.vis_cosmics/cleaned.fits" --subtracted="$frame"
        if [ "$flavour" = python ]; then
            detections=$b.vis_detect/detections.fits psf=$b.vis_psf/psf.fits
            program detect "$b.vis_detect" --threshold=3 --frame="$frame" \
                --detections="$detections"
            program psf "$b.vis_psf" --frame="$frame" --detections="$detections" --psf="$psf"
        else
            detections=$b.sex_detect/detections.fits psf=$b.psfex_psf/psf.fits
            program sex_detect "$b.sex_detect" --threshold=3 --frame="$frame" \
                --detections="$detections"
            program psfex_psf "$b.psfex_psf" --detections="$detections" --psf="$psf"
        fi
        reduced+=("$frame" "$detections" "$psf")
    done
done
list by_hand/reduced.json "${reduced[@]}"

# --- the field
if [ "$flavour" = python ]; then
    program astrometry vis_astrometry --reduced=by_hand/reduced.json \
        --reference_catalogue="$(port reference_catalogue)" \
        --solution=vis_astrometry/solution.fits
    program coadd vis_coadd --reduced=by_hand/reduced.json \
        --solution=vis_astrometry/solution.fits --coadd=vis_coadd/coadd.xml
    coadd=vis_coadd/coadd.xml catalogue=vis_catalogue/catalogue.fits
    program catalogue vis_catalogue --threshold=1.5 --coadd=$coadd --catalogue=$catalogue
else
    program scamp_astrometry scamp_astrometry --reduced=by_hand/reduced.json \
        --reference_catalogue="$(port reference_catalogue)" \
        --solution=scamp_astrometry/solution.json
    program swarp_coadd swarp_coadd --reduced=by_hand/reduced.json \
        --solution=scamp_astrometry/solution.json --coadd=swarp_coadd/coadd.xml
    coadd=swarp_coadd/coadd.xml catalogue=sex_catalogue/catalogue.fits
    program sex_catalogue sex_catalogue --threshold=1.5 --coadd=$coadd --catalogue=$catalogue
fi
program check vis_check --catalogue=$catalogue \
    --truth_catalogue="$(port truth_catalogue)" --report=vis_check/report.json
program quicklook vis_quicklook --coadd=$coadd --catalogue=$catalogue \
    --quicklook=vis_quicklook/quicklook.png
