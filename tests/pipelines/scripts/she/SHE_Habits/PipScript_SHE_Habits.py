"""One script with what many authors do."""

from euclidwf.framework.workflow_dsl import pipeline, parallel, nested
from PkgDef_SHE_Habits import *


@nested(outputs=('shear', 'table'), properties={'node': 'one'})
def block(object_id, field):
    return measure(object_id=object_id, field=field)


@parallel(iterable='object_id', outputs=('tuplelist',), properties={})
def inner(object_id, field):
    shear, _ = block(object_id=object_id, field=field, name='both')
    return shear


@parallel(iterable='x')
def again(x, field):
    (shear, table) = measure(object_id=x, field=field)
    return shear, table


@pipeline(outputs=('merged'), properties={'priority': 1})
def habits(field, detectors):
    object_ids, _ = make_ids(field=field)
    shears = inner(object_id=object_ids, field=field, name='inner_shear')
    for number in (1, 2):
        submit(ids=object_ids, name='submit_field_%d' % number)
    merged, = merge(shears=again(x=shears, field=field), whole=detectors)
    again(x=detectors, field=field)
    return merged,
